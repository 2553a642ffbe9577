#!/usr/bin/env python3
"""Check that the stored model computes what transformers computes from its source."""

from pathlib import Path
from typing import Annotated

from semgap.model.model_settings import ModelSettings
from semgap.pipeline.cli import run_script


def check(
    weights: Annotated[Path, "folder with the stored weights"],
    source: Annotated[Path | None, "folder that they are from, unless they are seeded"],
    settings: Annotated[ModelSettings, "which model it is"],
    engine: Annotated[str, "name of the engine that runs it"],
    agreement: Annotated[Path, "writes this file: what was compared"],
) -> None:
    from semgap.inference.agreement import compare_with_transformers
    from semgap.plumbing.files import write_record

    found = compare_with_transformers(
        weights, source or weights, engine, settings.dtype, settings.source_remedy
    )
    write_record(agreement, found)


if __name__ == "__main__":
    run_script(check)
