#!/usr/bin/env python3
"""Draw where the time of a typical step of each mode goes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from semgap.cli import run_script, script_parser


def plot(arguments: argparse.Namespace) -> None:
    """Draw the figure."""
    from semgap.records import RunRecord, read_record
    from semgap.time_line import plot_time_lines

    records = [read_record(path, RunRecord) for path in arguments.runs]
    plot_time_lines(records, arguments.labels, arguments.figures)


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--runs", required=True, type=Path, nargs="+", help="run records")
    parser.add_argument(
        "--labels",
        required=True,
        type=json.loads,
        help="JSON object from mode to its name in the figure, in the figure's order",
    )
    parser.add_argument("--figures", required=True, type=Path, nargs="+", help="writes these files")
    run_script(parser, plot)


if __name__ == "__main__":
    main()
