#!/usr/bin/env python3
"""Report where each mode's steps spend their time, and what that is of local's."""

import argparse
from pathlib import Path

from semgap.pipeline.cli import run_script, script_parser


def report(arguments: argparse.Namespace) -> None:
    """Write the report and its numbers."""
    from semgap.analysis.overhead import OverheadRow, overhead_report, overhead_rows
    from semgap.linkbench.contenders.known import CEILING
    from semgap.linkbench.rates import GoodputRow, captured_goodput, uncaptured_goodput
    from semgap.measurement.run_record import RunRecord
    from semgap.plumbing.csv_rows import read_rows, write_rows
    from semgap.plumbing.files import read_record, write_atomically

    records = [read_record(path, RunRecord) for path in arguments.runs]
    captured = all(record.capture.captured for record in records)
    goodput = captured_goodput if captured else uncaptured_goodput
    ceiling = goodput(read_rows(arguments.goodput, GoodputRow), CEILING)
    rows = overhead_rows(records)
    text = overhead_report(rows, ceiling)
    write_rows(arguments.csv, OverheadRow, rows)
    write_atomically(arguments.markdown, text.encode())


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--runs", required=True, type=Path, nargs="+", help="run records")
    parser.add_argument("--goodput", required=True, type=Path, help="the link's goodput (CSV)")
    parser.add_argument("--markdown", required=True, type=Path, help="writes this file")
    parser.add_argument("--csv", required=True, type=Path, help="writes this file")
    run_script(parser, report)


if __name__ == "__main__":
    main()
