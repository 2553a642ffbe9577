#!/usr/bin/env python3
"""Record a finished experiment, so that later ones can be compared with it."""

from __future__ import annotations

import argparse
from pathlib import Path

from semgap.cli import log, run_script, script_parser


def record(arguments: argparse.Namespace) -> None:
    """Make the folder."""
    from semgap.reference_folder import record_reference

    folder = record_reference(arguments.experiment_folder, arguments.name, arguments.references)
    log.info("Recorded %s in %s", arguments.experiment_folder, folder)


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument(
        "--experiment-folder", required=True, type=Path, help="results/<experiment>"
    )
    parser.add_argument("--name", required=True, help="name of the new folder")
    parser.add_argument(
        "--references",
        type=Path,
        default=Path("results/reference"),
        help="the folder of all recorded results (default: %(default)s)",
    )
    run_script(parser, record)


if __name__ == "__main__":
    main()
