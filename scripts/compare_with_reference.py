#!/usr/bin/env python3
"""Compare an experiment with recorded results: bytes, and latencies as ratios to local's."""

from __future__ import annotations

import argparse
from pathlib import Path

from semgap.cli import run_script, script_parser


def report(arguments: argparse.Namespace) -> None:
    """Write the report, whatever it says."""
    from semgap.records import write_atomically
    from semgap.reference_folder import measured_of, read_reference, recorded_folders
    from semgap.versus_reference import compare
    from semgap.versus_reference_report import versus_reference_report

    here = measured_of(arguments.summary, arguments.manifest, arguments.runs)
    comparisons = [
        compare(here, read_reference(folder)) for folder in recorded_folders(arguments.references)
    ]
    write_atomically(arguments.markdown, versus_reference_report(comparisons).encode())


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--summary", required=True, type=Path, help="the experiment's summary.csv")
    parser.add_argument("--manifest", required=True, type=Path, help="its model's manifest")
    parser.add_argument("--runs", required=True, type=Path, nargs="+", help="its run records")
    parser.add_argument(
        "--references", required=True, type=Path, help="the folder of all recorded results"
    )
    parser.add_argument("--markdown", required=True, type=Path, help="writes this file")
    run_script(parser, report)


if __name__ == "__main__":
    main()
