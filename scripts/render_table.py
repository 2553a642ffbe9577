#!/usr/bin/env python3
"""Render the published table as Markdown, LaTeX and CSV, and check every figure in it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from semgap.cli import run_script, script_parser


def render(arguments: argparse.Namespace) -> None:
    """Write the three forms of the table, once every figure in it is confirmed.

    Raises:
        CheckError: the rendered table is not what the runs say.
    """
    from semgap.checks.evidence import read_runs
    from semgap.checks.gate import gate
    from semgap.checks.published import published
    from semgap.claims.outcome import Outcome
    from semgap.comparisons import ComparisonRow
    from semgap.conditions import RunConditions
    from semgap.csv_rows import read_rows, write_rows
    from semgap.phases import MEASURED_PHASES, SETUP
    from semgap.records import Manifest, read_record, write_atomically
    from semgap.run_notes import run_notes
    from semgap.summary import SummaryRow
    from semgap.table import Experiment, TableRow, latex, markdown, table_rows

    summary = read_rows(arguments.summary, SummaryRow)
    comparisons = read_rows(arguments.comparisons, ComparisonRow)
    runs = read_runs(arguments.runs, arguments.logits, arguments.traffic)
    conditions = [read_record(path, RunConditions) for path in arguments.conditions]
    rows = table_rows(summary, arguments.labels, MEASURED_PHASES)
    experiment = Experiment(
        manifest=read_record(arguments.manifest, Manifest),
        records=[run.record for run in runs],
        setup=table_rows(summary, arguments.labels, (SETUP,)),
        claims=read_rows(arguments.claims, Outcome),
        warnings=run_notes(runs, conditions),
    )
    table = markdown(rows, experiment)
    gate(list(published(table, arguments.labels, summary, comparisons, runs)))
    write_rows(arguments.csv, TableRow, rows)
    write_atomically(arguments.tex, latex(rows, experiment).encode())
    write_atomically(arguments.markdown, table.encode())


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--summary", required=True, type=Path, help="the summary (CSV)")
    parser.add_argument("--manifest", required=True, type=Path, help="describes the model")
    parser.add_argument("--comparisons", required=True, type=Path, help="the comparisons (CSV)")
    parser.add_argument("--claims", required=True, type=Path, help="what became of them (CSV)")
    for name, what in (
        ("runs", "run records, in folders named for their modes"),
        ("logits", "logits of the runs, in the same order"),
        ("traffic", "traffic of the runs, in the same order"),
        ("conditions", "the machine around the runs, in the same order"),
    ):
        parser.add_argument(f"--{name}", required=True, type=Path, nargs="+", help=what)
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
