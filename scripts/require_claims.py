#!/usr/bin/env python3
"""Print what became of the claims; fail if one is contradicted, or must pass and does not."""

from __future__ import annotations

import argparse
from pathlib import Path

from semgap.cli import run_script, script_parser


def require(arguments: argparse.Namespace) -> None:
    """Print the summary, then fail if there is reason to."""
    from semgap.claims.outcome import Outcome
    from semgap.claims.report import require_passed, summary
    from semgap.csv_rows import read_rows

    outcomes = read_rows(arguments.csv, Outcome)
    print("\n".join(summary(outcomes)))
    require_passed(outcomes)


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--csv", required=True, type=Path, help="what check_claims.py wrote")
    run_script(parser, require)


if __name__ == "__main__":
    main()
