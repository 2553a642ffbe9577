#!/usr/bin/env python3
"""Store a model's weights in the experiment's dtype, from a download, a folder, or a seed."""

from pathlib import Path
from typing import Annotated

from semgap.model.model_settings import ModelSettings
from semgap.pipeline.cli import run_script


def store(
    source: Annotated[Path | None, "folder with weights, unless they are seeded"],
    settings: Annotated[ModelSettings, "which model it is"],
    weights: Annotated[Path, "writes this folder: config.json and safetensors shards"],
) -> None:
    import json

    from semgap.model.sources import pretrained_weights, seeded_weights, store_origin, store_weights

    if source is not None:
        found = pretrained_weights(source, settings.dtype, settings.source_remedy)
        store_weights(found, weights)
        store_origin(source, weights, settings.package.sha256)
    else:
        found = seeded_weights(json.dumps(settings.architecture), settings.dtype, settings.seed)
        store_weights(found, weights)


if __name__ == "__main__":
    run_script(store)
