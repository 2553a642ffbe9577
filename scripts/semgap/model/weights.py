"""Stored weights: written as safetensors shards, read as memory maps."""

import json
import math
import mmap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from semgap.errors import ModelError
from semgap.model.manifest import Manifest

CONFIG_FILE = "config.json"
INDEX_FILE = "model.safetensors.index.json"
_SHARD_BYTES = 2_000_000_000
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}


def shard_plan(sizes_bytes: Mapping[str, int]) -> list[list[str]]:
    """Distribute tensors over shards of at most 2 GB each, in order; a larger one stands alone."""
    shards: list[list[str]] = []
    room_bytes = -1
    for name, size_bytes in sizes_bytes.items():
        if size_bytes > room_bytes:
            shards.append([])
            room_bytes = _SHARD_BYTES
        shards[-1].append(name)
        room_bytes -= size_bytes
    return shards


def write_shard(folder: Path, file_name: str, tensors: Mapping[str, Tensor]) -> None:
    """Write one safetensors file."""
    save_file(dict(tensors), folder / file_name, metadata={"format": "pt"})


def write_index(folder: Path, files: Mapping[str, Sequence[str]], total_bytes: int) -> None:
    """Write the index that says which file holds which tensor, as the Hub has it."""
    index = {
        "metadata": {"total_size": total_bytes},
        "weight_map": {name: file for file, names in files.items() for name in names},
    }
    (folder / INDEX_FILE).write_text(json.dumps(index, indent=2))


def file_names(count: int) -> list[str]:
    """Names of ``count`` shards, as the Hub has them."""
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{index:05d}-of-{count:05d}.safetensors" for index in range(1, count + 1)]


def map_weights(folder: Path, manifest: Manifest) -> list[Tensor]:
    """Map the stored weights into memory, in the manifest's order.

    The tensors share the page cache's memory and each owns a storage of just its own bytes, so
    that a transport can send it from where it lies.

    Raises:
        ModelError: a file is missing or has another size than the manifest says, or a tensor is
            missing.
    """
    mapped: dict[str, Tensor] = {}
    for file in manifest.files:
        path = folder / file.name
        if not path.exists() or path.stat().st_size != file.size_bytes:
            raise ModelError(
                f"The weight file '{path}' is missing or does not have the {file.size_bytes} bytes "
                "that the manifest says.",
                "Delete the model's folder and run again: it is made anew.",
            )
        mapped.update(map_safetensors(path))
    try:
        return [mapped[tensor.name] for tensor in manifest.tensors]
    except KeyError as error:
        raise ModelError(
            f"The weight files in '{folder}' lack the tensor {error}.",
            "Delete the model's folder and run again: it is made anew.",
        ) from error


def map_safetensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Map the tensors of one safetensors file.

    Format: 8 bytes little-endian length of a JSON header, the header, the tensors' bytes
    (https://github.com/huggingface/safetensors#format).

    Raises:
        ModelError: the file does not follow the format.
    """
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    header_bytes = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + header_bytes])
        for name, entry in header.items():
            if name != "__metadata__":
                yield name, _mapped(content, 8 + header_bytes, entry)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"'{path}' is no complete safetensors file: {error}.",
            "Delete the model's folder and run again: it is made anew.",
        ) from error


def _mapped(content: mmap.mmap, data_offset: int, entry: Mapping[str, Sequence[int]]) -> Tensor:
    begin, _end = entry["data_offsets"]
    shape = entry["shape"]
    return torch.frombuffer(
        content,
        dtype=_DTYPES[str(entry["dtype"])],
        count=math.prod(shape),
        offset=data_offset + begin,
    ).reshape(shape)
