#!/usr/bin/env python3
"""Let nothing unverified pass, then summarise and compare modes over their repeats."""

from __future__ import annotations

import argparse
from pathlib import Path

from semgap.cli import run_script, script_parser


def aggregate(arguments: argparse.Namespace) -> None:
    """Write the rows of repeats, modes and comparisons, and the report on them.

    Raises:
        CheckError: a check has found something wrong with the runs.
    """
    from semgap.checks.catalogue import Finding
    from semgap.checks.gate import gate
    from semgap.comparisons import ComparisonRow, compare
    from semgap.csv_rows import read_rows, write_rows
    from semgap.records import RunRecord, read_record, write_atomically
    from semgap.stability import latencies_of_decode_steps, stability
    from semgap.stats_report import stats_report
    from semgap.summary import MeasuredRun, RepeatRow, SummaryRow, repeat_rows, summarise
    from semgap.traffic_rows import TrafficRow

    gate(read_rows(arguments.findings, Finding))
    runs = [
        MeasuredRun(read_record(run, RunRecord), read_rows(traffic, TrafficRow))
        for run, traffic in zip(arguments.runs, arguments.traffic, strict=True)
    ]
    rows = repeat_rows(runs)
    summary = summarise(rows)
    comparisons = compare(rows)
    found = stability(rows, latencies_of_decode_steps([run.record for run in runs]))
    write_rows(arguments.repeats, RepeatRow, rows)
    write_rows(arguments.summary, SummaryRow, summary)
    write_rows(arguments.comparisons, ComparisonRow, comparisons)
    write_atomically(arguments.stats, stats_report(summary, comparisons, found).encode())


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    for name, what in (
        ("runs", "run records"),
        ("traffic", "traffic of the runs, in the same order"),
    ):
        parser.add_argument(f"--{name}", required=True, type=Path, nargs="+", help=what)
    parser.add_argument("--findings", required=True, type=Path, help="what verify.py found (CSV)")
    parser.add_argument("--repeats", required=True, type=Path, help="writes this CSV file")
    parser.add_argument("--summary", required=True, type=Path, help="writes this CSV file")
    parser.add_argument("--comparisons", required=True, type=Path, help="writes this CSV file")
    parser.add_argument("--stats", required=True, type=Path, help="writes this file")
    run_script(parser, aggregate)


if __name__ == "__main__":
    main()
