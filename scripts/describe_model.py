#!/usr/bin/env python3
"""Describe the stored model: sizes, SHA-256 of each file, bytes of weights and of KV per token."""

from pathlib import Path
from typing import Annotated

from semgap.model.model_settings import ModelSettings
from semgap.pipeline.cli import run_script


def describe(
    weights: Annotated[Path, "folder with the weights"],
    settings: Annotated[ModelSettings, "which model it is"],
    manifest: Annotated[Path, "writes this file"],
) -> None:
    from semgap.model.description import describe_model
    from semgap.plumbing.files import write_record

    write_record(manifest, describe_model(weights, settings))


if __name__ == "__main__":
    run_script(describe)
