#!/usr/bin/env python3
"""Render the published table as Markdown, LaTeX and CSV."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from semgap.cli import run_script, script_parser


def render(arguments: argparse.Namespace) -> None:
    """Write the three forms of the table."""
    from semgap.csv_rows import read_rows, write_rows
    from semgap.records import Manifest, RunRecord, read_record, write_atomically
    from semgap.summary import SummaryRow
    from semgap.table import PHASES, Experiment, TableRow, latex, markdown, table_rows

    summary = read_rows(arguments.summary, SummaryRow)
    rows = table_rows(summary, arguments.labels, PHASES)
    experiment = Experiment(
        manifest=read_record(arguments.manifest, Manifest),
        records=[read_record(path, RunRecord) for path in arguments.runs],
        setup=table_rows(summary, arguments.labels, ("setup",)),
    )
    write_rows(arguments.csv, TableRow, rows)
    write_atomically(arguments.tex, latex(rows, experiment).encode())
    write_atomically(arguments.markdown, markdown(rows, experiment).encode())


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--summary", required=True, type=Path, help="the summary (CSV)")
    parser.add_argument("--manifest", required=True, type=Path, help="describes the model")
    parser.add_argument("--runs", required=True, type=Path, nargs="+", help="run records")
    parser.add_argument(
        "--labels",
        required=True,
        type=json.loads,
        help="JSON object from mode to its name in the table, in the table's order",
    )
    parser.add_argument("--csv", required=True, type=Path, help="writes this file")
    parser.add_argument("--tex", required=True, type=Path, help="writes this file")
    parser.add_argument("--markdown", required=True, type=Path, help="writes this file")
    run_script(parser, render)


if __name__ == "__main__":
    main()
