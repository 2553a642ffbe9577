#!/usr/bin/env python3
"""Check that the weights which were measured are the described ones, byte for byte."""

import argparse
from pathlib import Path

from semgap.pipeline.cli import run_script, script_parser


def verify(arguments: argparse.Namespace) -> None:
    """Read all weight files; write the fingerprint of the model that they are."""
    from semgap.model.manifest import Manifest
    from semgap.model.weight_files import check_weight_files
    from semgap.plumbing.files import read_record, write_atomically

    manifest = read_record(arguments.manifest, Manifest)
    check_weight_files(arguments.weights, manifest)
    write_atomically(arguments.fingerprint, f"{manifest.fingerprint}\n".encode())


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--weights", required=True, type=Path, help="folder with the weights")
    parser.add_argument("--manifest", required=True, type=Path, help="describes the model")
    parser.add_argument("--fingerprint", required=True, type=Path, help="writes this file")
    run_script(parser, verify)


if __name__ == "__main__":
    main()
