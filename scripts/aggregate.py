#!/usr/bin/env python3
"""Check that all modes computed the same, then summarise phases and modes over their repeats."""

from __future__ import annotations

import argparse
from pathlib import Path

from semgap.cli import run_script, script_parser


def aggregate(arguments: argparse.Namespace) -> None:
    """Write one row for each repeat and phase, and one for each mode and phase."""
    import numpy as np

    from semgap.correctness import RunResult, check_correctness
    from semgap.csv_rows import read_rows, write_rows
    from semgap.records import RunRecord, read_record
    from semgap.summary import MeasuredRun, RepeatRow, SummaryRow, repeat_rows, summarise
    from semgap.traffic import TrafficRow
    from semgap.utilisation import UtilisationRow

    records = [read_record(path, RunRecord) for path in arguments.runs]
    logits = [np.load(path) for path in arguments.logits]
    check_correctness([RunResult(*pair) for pair in zip(records, logits, strict=True)])
    runs = [
        MeasuredRun(record, read_rows(traffic, TrafficRow), read_rows(busy, UtilisationRow))
        for record, traffic, busy in zip(
            records, arguments.traffic, arguments.utilisation, strict=True
        )
    ]
    rows = repeat_rows(runs)
    write_rows(arguments.repeats, RepeatRow, rows)
    write_rows(arguments.summary, SummaryRow, summarise(rows))


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    for name, what in (
        ("runs", "run records"),
        ("logits", "logits of the runs, in the same order"),
        ("traffic", "traffic of the runs, in the same order"),
        ("utilisation", "utilisation of the runs, in the same order"),
    ):
        parser.add_argument(f"--{name}", required=True, type=Path, nargs="+", help=what)
    parser.add_argument("--repeats", required=True, type=Path, help="writes this CSV file")
    parser.add_argument("--summary", required=True, type=Path, help="writes this CSV file")
    run_script(parser, aggregate)


if __name__ == "__main__":
    main()
