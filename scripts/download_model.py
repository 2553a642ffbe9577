#!/usr/bin/env python3
"""Download a causal language model from the Hugging Face Hub at a pinned revision."""

import logging
from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script

log = logging.getLogger(__name__)


def download(
    repo: Annotated[str, "owner/name on the Hub"],
    revision: Annotated[str, "full hash of the commit"],
    folder: Annotated[Path, "writes this folder"],
) -> None:
    from semgap.model.hub import download_model

    size_bytes = download_model(repo, revision, folder)
    log.info("%.1f MB, verified", size_bytes / 1e6)


if __name__ == "__main__":
    run_script(download)
