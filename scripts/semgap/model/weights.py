"""Stored weights: written as safetensors shards, described, checked, read as memory maps."""

import json
import math
import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from semgap.errors import ModelError
from semgap.model.manifest import Manifest, WeightFile
from semgap.plumbing.files import digest_of, open_to_all
from semgap.plumbing.limits import in_threads

CONFIG_FILE = "config.json"
_SHARD_BYTES = 2_000_000_000
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_REMEDY = "Delete the model's folder and run again: it is made anew."


def write_shards(
    folder: Path, sizes_bytes: Mapping[str, int], weight: Callable[[str], Tensor]
) -> Iterator[str]:
    """Write weights in the Hub's form, one shard at a time; yields the name of each file.

    No more than the tensors of one shard are in memory.

    Args:
        sizes_bytes: size of each tensor, in the order of sending.
        weight: returns a tensor by its name.
    """
    shards = shard_plan(sizes_bytes)
    single = len(shards) == 1
    weight_map: dict[str, str] = {}
    for index, names in enumerate(shards, start=1):
        part = "" if single else f"-{index:05d}-of-{len(shards):05d}"
        file_name = f"model{part}.safetensors"
        save_file({name: weight(name) for name in names}, folder / file_name, {"format": "pt"})
        open_to_all(folder / file_name)
        weight_map |= dict.fromkeys(names, file_name)
        yield file_name
    if not single:
        metadata = {"total_size": sum(sizes_bytes.values())}
        content = json.dumps({"metadata": metadata, "weight_map": weight_map}, indent=2)
        (folder / "model.safetensors.index.json").write_text(content, encoding="utf-8")


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

    def check(described: WeightFile) -> None:
        path = folder / described.name
        if path.exists() and path.stat().st_mtime_ns < changed_after_ns:
            return
        if not path.exists() or describe_file(path) != described:
            raise ModelError(
                f"The weight file '{path}' is not the one that the manifest describes (SHA-256 "
                f"{described.sha256[:16]}…): it was changed, replaced or removed.",
                f"Delete '{folder}' and run again: the weights are made anew, and what was "
                "measured with other ones is measured again.",
            )

    in_threads(check, manifest.files)


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
                _REMEDY,
            )
        mapped.update(map_safetensors(path))
    try:
        return [mapped[tensor.name] for tensor in manifest.tensors]
    except KeyError as error:
        raise ModelError(
            f"The weight files in '{folder}' lack the tensor {error}.", _REMEDY
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
        raise ModelError(f"'{path}' is no complete safetensors file: {error}.", _REMEDY) from error


def _mapped(content: mmap.mmap, data_offset: int, entry: Mapping[str, Sequence[int]]) -> Tensor:
    begin, _end = entry["data_offsets"]
    shape = entry["shape"]
    return torch.frombuffer(
        content,
        dtype=_DTYPES[str(entry["dtype"])],
        count=math.prod(shape),
        offset=data_offset + begin,
    ).reshape(shape)
