#!/usr/bin/env python3
"""Turn one run's clocks and samples into the utilisation of its worker for each phase."""

from __future__ import annotations

import argparse
from pathlib import Path

from semgap.analysis.utilisation import UtilisationRow, utilisation_of_run
from semgap.measurement.run_record import RunRecord
from semgap.pipeline.cli import run_script, script_parser
from semgap.plumbing.csv_rows import write_rows
from semgap.plumbing.files import read_record


def derive(arguments: argparse.Namespace) -> None:
    """Write the utilisation rows."""
    record = read_record(arguments.run, RunRecord)
    write_rows(arguments.utilisation, UtilisationRow, utilisation_of_run(record))


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--run", required=True, type=Path, help="the run's record")
    parser.add_argument("--utilisation", required=True, type=Path, help="writes this CSV file")
    run_script(parser, derive)


if __name__ == "__main__":
    main()
