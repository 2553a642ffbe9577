#!/usr/bin/env python3
"""Report where each mode's steps spend their time, and what that is of local's."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script


def report(
    runs: Annotated[list[Path], "run records"],
    goodput: Annotated[Path, "the link's goodput (CSV)"],
    markdown: Annotated[Path, "writes this file"],
    csv: Annotated[Path, "writes this file"],
) -> None:
    from semgap.analysis.reports.overhead import OverheadRow, overhead_report, overhead_rows
    from semgap.linkbench.rates import GoodputRow, ceiling_of
    from semgap.measurement.run_record import RunRecord
    from semgap.plumbing.files import read_record, read_rows, write_atomically, write_rows

    records = [read_record(path, RunRecord) for path in runs]
    captured = all(record.capture.captured for record in records)
    ceiling = ceiling_of(read_rows(goodput, GoodputRow), captured)
    rows = overhead_rows(records)
    text = overhead_report(rows, ceiling)
    write_rows(csv, OverheadRow, rows)
    write_atomically(markdown, text.encode())


if __name__ == "__main__":
    run_script(report)
