#!/usr/bin/env python3
"""Put somebody else's systems beside the modes: numbers, report and figure."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script
from semgap.systems.system_settings import NamedSystems


def report(
    expectation: Annotated[Path, "what the configuration says that the runs are"],
    manifest: Annotated[Path, "describes the model"],
    runs: Annotated[list[Path], "run records of the modes"],
    numbers: Annotated[list[Path], "all numbers of the modes (CSV)"],
    local: Annotated[Path, "the run record of a repeat of local"],
    local_logits: Annotated[Path, "its logits (.npy)"],
    systems: Annotated[list[Path], "run records of the systems, one system after the other"],
    logits: Annotated[list[Path], "their logits, in the same order"],
    captures: Annotated[list[Path], "their captures, in the same order"],
    settings: Annotated[NamedSystems, "what the configuration says of each system"],
    rows: Annotated[Path, "writes the numbers (CSV)"],
    markdown: Annotated[Path, "writes the report"],
    figures: Annotated[list[Path], "writes the figure, in the forms that the suffixes name"],
) -> None:
    import numpy as np

    from semgap.analysis.figures import save
    from semgap.analysis.figures.peers import peers
    from semgap.analysis.gates.correctness import RunResult
    from semgap.analysis.numbers.peers import PeerRow, peer_rows, system_evidence
    from semgap.analysis.publish import read_numbers
    from semgap.analysis.reports.peers import peers_markdown
    from semgap.measurement.run_record import RunRecord
    from semgap.plumbing.files import read_record, write_atomically, write_rows

    evidence = [
        system_evidence(settings.systems, *files)
        for files in zip(systems, logits, captures, strict=True)
    ]
    baseline = RunResult(read_record(local, RunRecord), np.load(local_logits))
    found = peer_rows(read_numbers(expectation, manifest, runs, numbers), evidence, baseline)
    write_rows(rows, PeerRow, found)
    write_atomically(markdown, peers_markdown(found).encode())
    for file in figures:
        save(peers(found), file)


if __name__ == "__main__":
    run_script(report)
