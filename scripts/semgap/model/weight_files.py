"""Names of weight files as the Hub has them, and the index of a sharded model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from semgap.errors import ModelError

WeightFormat = Literal["safetensors", "pytorch"]

# Safetensors hold nothing but tensors, so they come first; each as one file or as shards.
SINGLE_FILES: Mapping[WeightFormat, str] = MappingProxyType(
    {"safetensors": "model.safetensors", "pytorch": "pytorch_model.bin"}
)

_REMEDY = "Delete the folder and download the model again, or choose another one."


def index_name(weight_format: WeightFormat) -> str:
    """Name of the file that says which shard holds which tensor."""
    return f"{SINGLE_FILES[weight_format]}.index.json"


def read_index(path: Path) -> dict[str, str]:
    """The shard's file name of each tensor's name.

    Raises:
        ModelError: the file is no index, or names a file that can be no shard of its format.
    """
    suffix = Path(path.name.removesuffix(".index.json")).suffix
    try:
        weight_map = dict(json.loads(path.read_bytes())["weight_map"].items())
        # A shard lies beside its index: nothing that an index says leads out of the folder.
        shards = {shard for shard in weight_map.values() if Path(shard).name == shard}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"'{path}' is no index of weight files: {type(error).__name__}: {error}.", _REMEDY
        ) from error
    for shard in weight_map.values():
        if shard not in shards or Path(shard).suffix != suffix:
            raise ModelError(f"'{path}' names '{shard}', which is no weight file.", _REMEDY)
    return weight_map
