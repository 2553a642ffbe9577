#!/usr/bin/env python3
"""Download a causal language model from the Hugging Face Hub at a pinned revision."""

import argparse
import logging
from pathlib import Path

from semgap.pipeline.cli import run_script, script_parser

log = logging.getLogger(__name__)


def download(arguments: argparse.Namespace) -> None:
    """Fetch and verify the files."""
    from semgap.model.obtaining.hub import download_model

    model = download_model(arguments.repo, arguments.revision, arguments.folder)
    size_bytes = sum(file.size_bytes for file in model.files)
    log.info("%s files, %.1f MB, verified", len(model.files), size_bytes / 1e6)


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--repo", required=True, help="owner/name on the Hub")
    parser.add_argument("--revision", required=True, help="full hash of the commit")
    parser.add_argument("--folder", required=True, type=Path, help="writes this folder")
    run_script(parser, download)


if __name__ == "__main__":
    main()
