#!/usr/bin/env python3
"""Render the published table as Markdown, LaTeX and CSV."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script


def render(
    summary: Annotated[Path, "the summary (CSV)"],
    manifest: Annotated[Path, "describes the model"],
    runs: Annotated[list[Path], "run records"],
    comparisons: Annotated[Path, "the latencies' ratios (CSV)"],
    counts: Annotated[Path, "the counts of the same bytes (CSV)"],
    claims: Annotated[Path, "what the data say of each claim (CSV)"],
    versus: Annotated[Path, "bytes and ratios beside recorded ones (CSV)"],
    expectation: Annotated[Path, "names the modes in the table's order"],
    csv: Annotated[list[Path], "writes these files"],
    tex: Annotated[list[Path], "writes these files"],
    markdown: Annotated[list[Path], "writes these files"],
    traffic: Annotated[Path, "writes this report on the counts (Markdown)"],
    statistics: Annotated[Path, "writes this report on the latencies (Markdown)"],
    claims_report: Annotated[Path, "writes this report on the claims (Markdown)"],
    versus_report: Annotated[Path, "writes this report on recorded results (Markdown)"],
    provenance: Annotated[Path, "writes this report on what the numbers depend on (Markdown)"],
) -> None:
    from semgap.analysis import table
    from semgap.analysis.claims.evaluation import OutcomeRow
    from semgap.analysis.claims.recorded import VersusRow
    from semgap.analysis.claims.report import claims_markdown
    from semgap.analysis.claims.versus_report import versus_markdown
    from semgap.analysis.comparison import ComparisonRow
    from semgap.analysis.counts import CountRow
    from semgap.analysis.decode_floor import decode_markdown, decode_rows
    from semgap.analysis.expectation import Asked
    from semgap.analysis.notes import Experiment
    from semgap.analysis.provenance_report import provenance_markdown
    from semgap.analysis.rows import PHASES, table_rows
    from semgap.analysis.statistics_report import statistics_markdown
    from semgap.analysis.summary import SummaryRow
    from semgap.analysis.traffic_report import traffic_markdown
    from semgap.measurement.run_record import RunRecord
    from semgap.model.manifest import Manifest
    from semgap.plumbing.csv_rows import read_rows
    from semgap.plumbing.files import read_record, write_atomically

    summary_rows = read_rows(summary, SummaryRow)
    asked = read_record(expectation, Asked).expectation
    labels = asked.labels
    rows = table_rows(summary_rows, labels, PHASES)
    experiment = Experiment(
        manifest=read_record(manifest, Manifest),
        records=[read_record(path, RunRecord) for path in runs],
        setup=table_rows(summary_rows, labels, ("setup",)),
        comparisons=read_rows(comparisons, ComparisonRow),
        outcomes=read_rows(claims, OutcomeRow),
        stopping=asked.stopping,
    )
    report = traffic_markdown(read_rows(counts, CountRow), labels)
    write_atomically(traffic, report.encode())
    said = statistics_markdown(rows, experiment.comparisons, labels)
    near_floor = decode_rows(rows, experiment.manifest.weights_bytes)
    said += decode_markdown(near_floor, experiment.records[0].settings.worker.engine)
    write_atomically(statistics, said.encode())
    write_atomically(claims_report, claims_markdown(experiment.outcomes).encode())
    beside = versus_markdown(read_rows(versus, VersusRow), labels)
    write_atomically(versus_report, beside.encode())
    depends = provenance_markdown(experiment.records, experiment.manifest)
    write_atomically(provenance, depends.encode())
    for files, text in (
        (csv, table.full_csv(rows, experiment.records)),
        (tex, table.latex(rows, experiment)),
        (markdown, table.markdown(rows, experiment)),
    ):
        for file in files:
            write_atomically(file, text.encode())


if __name__ == "__main__":
    run_script(render)
