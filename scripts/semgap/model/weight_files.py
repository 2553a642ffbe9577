"""Weight files: their names as the Hub has them, the index of a sharded model, their content."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from semgap.errors import ModelError
from semgap.model.manifest import Manifest, WeightFile
from semgap.plumbing.files import digest_of

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


def describe_file(path: Path) -> WeightFile:
    """Size and SHA-256 of a file."""
    return WeightFile(name=path.name, size_bytes=path.stat().st_size, sha256=digest_of(path))


def check_weight_files(folder: Path, manifest: Manifest, changed_after_ns: int = 0) -> None:
    """Check that stored weights are those that the manifest describes.

    Args:
        changed_after_ns: leave out files that were last changed before this (Unix time).

    Raises:
        ModelError: a file is missing or has another content.
    """
    for described in manifest.files:
        path = folder / described.name
        if path.exists() and path.stat().st_mtime_ns < changed_after_ns:
            continue
        if not path.exists() or describe_file(path) != described:
            raise ModelError(
                f"The weight file '{path}' is not the one that the manifest describes (SHA-256 "
                f"{described.sha256[:16]}…): it was changed, replaced or removed.",
                f"Delete '{folder}' and run again: the weights are made anew, and what was "
                "measured with other ones is measured again.",
            )
