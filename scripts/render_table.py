#!/usr/bin/env python3
"""Render the published table as Markdown, LaTeX and CSV."""

import argparse
from pathlib import Path

from semgap.pipeline.cli import run_script, script_parser


def render(arguments: argparse.Namespace) -> None:
    """Write the three forms of the table."""
    from semgap.analysis.expectation import Asked
    from semgap.analysis.summary import SummaryRow
    from semgap.analysis.table import PHASES, Experiment, latex, markdown, table_rows, unrounded_csv
    from semgap.measurement.run_record import RunRecord
    from semgap.model.manifest import Manifest
    from semgap.plumbing.csv_rows import read_rows
    from semgap.plumbing.files import read_record, write_atomically

    summary = read_rows(arguments.summary, SummaryRow)
    labels = read_record(arguments.expectation, Asked).expectation.labels
    rows = table_rows(summary, labels, PHASES)
    experiment = Experiment(
        manifest=read_record(arguments.manifest, Manifest),
        records=[read_record(path, RunRecord) for path in arguments.runs],
        setup=table_rows(summary, labels, ("setup",)),
    )
    for path in arguments.csv:
        write_atomically(path, unrounded_csv(rows).encode())
    for path in arguments.tex:
        write_atomically(path, latex(rows, experiment).encode())
    for path in arguments.markdown:
        write_atomically(path, markdown(rows, experiment).encode())


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--summary", required=True, type=Path, help="the summary (CSV)")
    parser.add_argument("--manifest", required=True, type=Path, help="describes the model")
    parser.add_argument("--runs", required=True, type=Path, nargs="+", help="run records")
    parser.add_argument(
        "--expectation", required=True, type=Path, help="names the modes in the table's order"
    )
    for form in ("csv", "tex", "markdown"):
        parser.add_argument(
            f"--{form}", required=True, type=Path, nargs="+", help="writes these files"
        )
    run_script(parser, render)


if __name__ == "__main__":
    main()
