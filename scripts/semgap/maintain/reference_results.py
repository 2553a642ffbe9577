"""Rebuild what is published of the recorded results: their tables, figures, the README's part.

A folder of results/reference/ with a manifest.json is an experiment: an archive of run records and
of the traffic that was parsed from their captures, and the expectation that they met. A folder of
archives that hold all of that is a sweep. Everything else follows, and lies in build/reference/.
"""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from semgap.analysis import publish
from semgap.analysis.catalogue import FIGURES
from semgap.analysis.claims import load_claims
from semgap.analysis.evidence import Evidence, read_evidence
from semgap.analysis.expectation import Asked
from semgap.analysis.figures import save
from semgap.analysis.figures.peers import peers
from semgap.analysis.numbers.numbers import Numbers
from semgap.analysis.numbers.peers import PeerRow
from semgap.analysis.numbers.versus import VersusRow, read_recorded, recorded_in, versus_nearest
from semgap.analysis.reports.claims import accepted_text, seen_text
from semgap.analysis.reports.peers import peers_markdown
from semgap.analysis.reports.versus import versus_markdown
from semgap.analysis.scaling.publish import write_scaling
from semgap.maintain.archive import REFERENCE, SUFFIX, unpack
from semgap.maintain.readme_parts import (
    all_recorded,
    headline,
    is_ladder,
    ladders,
    needs,
    sweeps_in,
)
from semgap.pcap.turns import Turn
from semgap.plumbing.files import read_record, read_rows, write_atomically, write_rows
from semgap.plumbing.markup import markdown_table

PROJECT = Path(__file__).parents[3]
# Where a recorded experiment is laid out with all that follows from it.
BUILD = PROJECT / "build" / "reference"
# What people read of it is kept beside its archive, and what new results are compared with.
KEPT = (
    *("table.md", "summary.csv", "comparisons.csv", "claims.md", "stats.md"),
    *("decode.svg", "time-line.svg"),
)
# Of those with more modes than the published table, beside these.
KEPT_OF_LADDERS = ("ladder.md", "ladder.svg")
# Those whose verdicts docs/artifact.md has.
JUDGED = (
    *("gptj-6b-h100-tcp", "gptj-6b-h200-tcp-graph", "gptj-6b-h100-torch_rpc"),
    *("mini-torch_rpc", "mini-tcp"),
)
ARTIFACT = PROJECT / "docs" / "artifact.md"
MODES = PROJECT / "docs" / "modes.md"
BEGIN, END = "<!-- recorded results: make reference-tables -->\n", "<!-- end -->\n"
NEEDS_BEGIN = "<!-- needs: make reference-tables -->\n"
CLAIMS_BEGIN = "<!-- claims: make reference-tables -->\n"
LADDERS_BEGIN = "<!-- ladders: make reference-tables -->\n"


def evidence_in(folder: Path) -> Evidence:
    """What was measured in an unpacked experiment, to be held against today's claims."""
    asked = folder / "expectation.json"
    expected = [
        (run.mode, f"rep{run.settings.repeat}")
        for run in read_record(asked, Asked).expectation.runs
    ]
    runs = [folder / "runs" / mode / f"{name}.json" for mode, name in expected]
    traffic = [folder / "traffic" / mode / f"{name}.csv" for mode, name in expected]
    turns = [folder / "traffic" / mode / f"{name}.turns.csv" for mode, name in expected]
    for missing in (file for file in turns if not file.exists()):
        write_rows(missing, Turn, ())
    agreement = folder / "model" / "agreement.json"
    evidence = read_evidence(
        *(asked, folder / "manifest.json", agreement if agreement.exists() else None),
        *(runs, traffic, turns),
    )
    return evidence.held_against(load_claims(PROJECT / "config" / "claims.yaml"))


def rebuild(recorded: Path) -> Numbers:
    """Write an experiment's numbers, reports and figures, and keep what people read."""
    folder = BUILD / recorded.relative_to(REFERENCE)
    found = rebuilt_numbers(recorded, folder)
    for name, text in publish.reports(found):
        write_atomically(folder / name, text.encode())
    for name in FIGURES:
        save(publish.figure(name, found), folder / f"{name}.svg")
    for name in (*KEPT, *(KEPT_OF_LADDERS if is_ladder(found) else ())):
        shutil.copyfile(folder / name, recorded / name)
    if (folder / "peers.csv").exists():
        rows = read_rows(folder / "peers.csv", PeerRow)
        write_atomically(recorded / "peers.md", peers_markdown(rows).encode())
        save(peers(rows), recorded / "peers.svg")
    return found


def rebuilt_numbers(recorded: Path, folder: Path) -> Numbers:
    """Unpack an experiment, or a sweep's point, and write its numbers as the workflow does."""
    shutil.rmtree(folder, ignore_errors=True)
    unpack(recorded, folder)
    evidence = evidence_in(folder)
    files = [folder / f"{name}.csv" for name in publish.NUMBERS]
    publish.write_numbers(publish.numbers(evidence), files)
    runs = [run.record_file for run in evidence.runs]
    asked, manifest = folder / "expectation.json", folder / "manifest.json"
    return publish.read_numbers(asked, manifest, runs, files)


def compare(recorded: Path) -> None:
    """Write an experiment beside the nearest one of the others, all of which are rebuilt."""
    here = read_recorded(recorded)
    rows = versus_nearest(here, [other for other in recorded_in(REFERENCE) if other != recorded])
    folder = BUILD / recorded.relative_to(REFERENCE)
    write_rows(folder / "versus-reference.csv", VersusRow, rows)
    text = versus_markdown(rows, here.expectation.labels)
    write_atomically(folder / "versus-reference.md", text.encode())


def rebuilt_points(folder: Path) -> dict[str, Numbers]:
    """Unpack a sweep's points, by name, and write their numbers."""
    files = {file.name.removesuffix(SUFFIX): file for file in sorted(folder.glob(f"*{SUFFIX}"))}
    return {name: rebuilt_numbers(file, BUILD / folder.name / name) for name, file in files.items()}


def rebuild_sweep(folder: Path) -> None:
    """Write the numbers of a sweep's points, and what it shows."""
    sweep = list(rebuilt_points(folder).values())
    write_scaling(folder.name, sweep, PROJECT / "config" / "models" / "shapes.yaml", folder)


def claims_in_artifact(judged: Mapping[str, Numbers]) -> str:
    """Each claim with what it accepts and what was recorded, a row per phase that the first has."""
    recorded_rows = [
        {(row.claim, row.phase): row for row in judged[name].claims} for name in JUDGED
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
    numbers = {
        folder.name: rebuild(folder)
        for folder in sorted(file.parent for file in REFERENCE.glob("*/manifest.json"))
    }
    for folder in sweeps_in(REFERENCE):
        rebuild_sweep(folder)
    for folder in recorded_in(REFERENCE):
        compare(folder)
    outdated = [
        replaced(PROJECT / "README.md", BEGIN, headline(PROJECT)),
        replaced(REFERENCE / "README.md", BEGIN, all_recorded(REFERENCE)),
        replaced(ARTIFACT, NEEDS_BEGIN, needs(PROJECT, numbers)),
        replaced(ARTIFACT, CLAIMS_BEGIN, claims_in_artifact(numbers)),
        replaced(MODES, LADDERS_BEGIN, ladders(numbers)),
    ]
    sys.exit(any(outdated))


if __name__ == "__main__":
    main()
