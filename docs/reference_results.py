#!/usr/bin/env python3
"""Rebuild what is published of the recorded results: their tables, the figure, the README's part.

A folder of results/reference/ with a manifest.json is an experiment: run records, the traffic that
was parsed from their captures, and the expectation that they met. A folder of such folders, named
by their prompts' lengths, is a sweep. Everything else follows.
"""

import sys
from pathlib import Path

from figures import decode_of, draw_contexts, draw_modes
from readme_parts import recorded_in_readme

from semgap.analysis.claims.claim import load_claims
from semgap.analysis.claims.evaluation import Evidence, OutcomeRow, judge
from semgap.analysis.claims.recorded import (
    VersusRow,
    nearest_recorded,
    read_recorded,
    recorded_in,
    versus_recorded,
)
from semgap.analysis.claims.report import accepted_text, claims_markdown, seen_text
from semgap.analysis.claims.versus_report import versus_markdown
from semgap.analysis.comparison import ComparisonRow, comparisons
from semgap.analysis.counts import check_content, check_counts, count_rows
from semgap.analysis.decode_floor import decode_markdown, decode_rows
from semgap.analysis.expectation import Asked
from semgap.analysis.figures.time_line import draw_time_line
from semgap.analysis.notes import Experiment
from semgap.analysis.prediction import predict
from semgap.analysis.provenance_report import provenance_markdown
from semgap.analysis.rows import PHASES, TableRow, gigabytes_text, latency_text, table_rows
from semgap.analysis.statistics_report import statistics_markdown
from semgap.analysis.summary import MeasuredRun, RepeatRow, SummaryRow, repeat_rows, summarise
from semgap.analysis.table import full_csv, latex, markdown
from semgap.analysis.traffic import TrafficRow
from semgap.analysis.traffic_report import traffic_markdown
from semgap.measurement.run_record import RunRecord
from semgap.model.manifest import Manifest
from semgap.plumbing.csv_rows import read_rows, write_rows
from semgap.plumbing.files import read_record, write_atomically
from semgap.plumbing.markup import escaped_markdown, markdown_table

PROJECT = Path(__file__).parents[1]
REFERENCE = PROJECT / "results" / "reference"
# Those whose verdicts docs/artifact.md has.
JUDGED = (
    *("gptj-6b-h100-tcp", "gptj-6b-h100-tcp-graph", "gptj-6b-h100-torch_rpc"),
    *("mini-torch_rpc", "mini-tcp"),
)
ARTIFACT = PROJECT / "docs" / "artifact.md"
BEGIN, END = "<!-- recorded results: make reference-tables -->\n", "<!-- end -->\n"
CLAIMS_BEGIN = "<!-- claims: make reference-tables -->\n"


def recorded(pattern: str) -> list[Path]:
    """The recorded experiments whose manifest has a path of that form."""
    return sorted(file.parent for file in REFERENCE.glob(pattern))


def rebuild(folder: Path) -> list[TableRow]:
    """Write an experiment's repeats.csv, summary.csv and tables from its records."""
    files = [folder / "runs" / mode / f"rep{repeat}.json" for mode, repeat in _runs(folder)]
    records = [read_record(file, RunRecord) for file in files]
    traffic = [
        read_rows(folder / "traffic" / file.parent.name / f"{file.stem}.csv", TrafficRow)
        for file in files
    ]
    manifest = read_record(folder / "manifest.json", Manifest)
    predicted = [predict(record, manifest) for record in records]
    runs = list(zip(records, traffic, predicted, strict=True))
    counts = [row for record, seen, must in runs for row in count_rows(record, must, seen)]
    for file, (record, _seen, must) in zip(files, runs, strict=True):
        check_content(record, must, file)
    check_counts(counts, folder)
    rows = repeat_rows([MeasuredRun(*run) for run in runs])
    summary = summarise(rows)
    asked = read_record(folder / "expectation.json", Asked).expectation
    labels = asked.labels
    compared = comparisons(rows)
    setup = table_rows(summary, labels, ("setup",))
    claims = load_claims(PROJECT / "config" / "claims.yaml")
    outcomes = judge(claims, Evidence(rows, records, manifest))
    write_rows(folder / "claims.csv", OutcomeRow, outcomes)
    write_atomically(folder / "claims.md", claims_markdown(outcomes).encode())
    experiment = Experiment(manifest, records, setup, compared, outcomes, asked.stopping)
    table = table_rows(summary, labels, PHASES)
    write_atomically(folder / "traffic.md", traffic_markdown(counts, labels).encode())
    depends = provenance_markdown(records, manifest)
    write_atomically(folder / "provenance.md", depends.encode())
    draw_time_line(records, labels, folder / "time-line.svg")
    said = statistics_markdown(table, compared, labels)
    near_floor = decode_rows(table, manifest.weights_bytes)
    said += decode_markdown(near_floor, records[0].settings.worker.engine)
    write_atomically(folder / "stats.md", said.encode())
    write_rows(folder / "comparisons.csv", ComparisonRow, compared)
    write_rows(folder / "repeats.csv", RepeatRow, rows)
    write_rows(folder / "summary.csv", SummaryRow, summary)
    write_atomically(folder / "table.md", markdown(table, experiment).encode())
    write_atomically(folder / "table.tex", latex(table, experiment).encode())
    write_atomically(folder / "table.csv", full_csv(table, records).encode())
    return table


def compare(folder: Path) -> None:
    """Write an experiment beside the nearest one of the others, all of which are rebuilt."""
    here = read_recorded(folder)
    others = [other for other in recorded_in(REFERENCE) if other != folder]
    nearest = nearest_recorded(others, here.expectation, here.manifest)
    rows = versus_recorded(here, read_recorded(nearest)) if nearest else []
    text = versus_markdown(rows, here.expectation.labels)
    write_rows(folder / "versus-reference.csv", VersusRow, rows)
    write_atomically(folder / "versus-reference.md", text.encode())


def _runs(folder: Path) -> list[tuple[str, int]]:
    expected = read_record(folder / "expectation.json", Asked).expectation.runs
    return [(run.mode, run.settings.repeat) for run in expected]


def rebuild_sweep(folder: Path) -> None:
    """Write the tables of a sweep's experiments, and what of decode grows with the prompt."""
    tables = {int(one.name): rebuild(one) for one in sorted(folder.iterdir()) if one.is_dir()}
    lengths = sorted(tables)
    cells = [
        [
            escaped_markdown(row.label),
            *(_decode_cell(decode_of(tables[length], row.mode)) for length in lengths),
        ]
        for row in tables[lengths[0]]
        if row.phase == "decode"
    ]
    header = ("Decode after a prompt of", *(f"{length} tokens" for length in lengths))
    text = f"{markdown_table(header, cells, text_columns=1)}\n"
    write_atomically(folder / "context.md", text.encode())
    draw_contexts(tables, folder / "context.svg")


def _decode_cell(row: TableRow) -> str:
    return f"{gigabytes_text(row)} GB, {latency_text(row)} s"


def claims_in_artifact() -> str:
    """Each claim with what it accepts and what was recorded, a row per phase that the first has."""
    folders = [REFERENCE / name for name in JUDGED]
    recorded_rows = [
        {(row.claim, row.phase): row for row in read_rows(folder / "claims.csv", OutcomeRow)}
        for folder in folders
    ]
    cells, said = [], ""
    for claim, phase in recorded_rows[0]:
        seen = [rows.get((claim, phase)) for rows in recorded_rows]
        first = next(row for row in seen if row is not None)
        cells.append(
            [
                claim if claim != said else "",
                first.sentence if claim != said else "",
                phase or "",
                accepted_text(first),
                *("–" if row is None else f"{seen_text(row)}: {row.verdict}" for row in seen),
            ]
        )
        said = claim
    header = ("", "Claim", "Phase", "Accepted", *(f"`{name}`" for name in JUDGED))
    return f"{markdown_table(header, cells, text_columns=len(header))}\n"


def replaced(document: Path, begin: str, part: str) -> bool:
    """Put a part between the marks of a document; returns whether it was another."""
    text = document.read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    new = f"{before}{begin}\n{part}\n{END}{rest.partition(END)[2]}"
    document.write_text(new, encoding="utf-8")
    return new != text


def main() -> None:
    """Rebuild everything; ends with 1 if a document was out of date."""
    for folder in recorded("*/manifest.json"):
        draw_modes(rebuild(folder), folder / "modes.svg")
    for folder in {one.parent for one in recorded("*/*/manifest.json")}:
        rebuild_sweep(folder)
    for folder in recorded_in(REFERENCE):
        compare(folder)
    outdated = [
        replaced(PROJECT / "README.md", BEGIN, recorded_in_readme(PROJECT)),
        replaced(ARTIFACT, CLAIMS_BEGIN, claims_in_artifact()),
    ]
    sys.exit(any(outdated))


if __name__ == "__main__":
    main()
