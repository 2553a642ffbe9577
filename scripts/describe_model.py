#!/usr/bin/env python3
"""Describe the stored model: sizes, SHA-256 of each file, bytes of weights and of KV per token."""

import argparse
from pathlib import Path

from semgap.model.model_settings import ModelSettings
from semgap.pipeline.cli import add_settings, run_script, script_parser


def describe(arguments: argparse.Namespace) -> None:
    """Write the manifest."""
    from semgap.model.description import describe_model
    from semgap.plumbing.files import write_record

    write_record(arguments.manifest, describe_model(arguments.weights, arguments.settings))


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--weights", required=True, type=Path, help="folder with the weights")
    parser.add_argument("--manifest", required=True, type=Path, help="writes this file")
    add_settings(parser, ModelSettings)
    run_script(parser, describe)


if __name__ == "__main__":
    main()
