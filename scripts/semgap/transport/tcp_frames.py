"""The form of a message on a ``tcp`` connection, apart from any socket.

    magic (4 bytes) | header size (uint32) | payload size (uint64) | header | payload

Integers are little-endian. The header is MessagePack, decoded against the types of
``semgap.protocol``; it names class, dtype and shape of each tensor. The payload is the tensors'
own bytes, group by group. Within a group each tensor begins at a multiple of 64 bytes, so that a
group can be received as one piece and used in place.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Generic, TypeVar

import msgspec
import torch
from torch import Tensor

from semgap.errors import TransportError
from semgap.policy import TensorClass
from semgap.protocol import Reply, Request

PREFIX = struct.Struct("<4sIQ")
ALIGNMENT = 64

_MAGIC = b"sgp1"
_MAX_HEADER_BYTES = 4_000_000
_MAX_TENSORS = 1 << 16
_DTYPE_NAMES: Mapping[torch.dtype, str] = MappingProxyType(
    {
        torch.float32: "f32",
        torch.float16: "f16",
        torch.bfloat16: "bf16",
        torch.float64: "f64",
        torch.int64: "i64",
        torch.int32: "i32",
        torch.uint8: "u8",
        torch.bool: "bool",
    }
)
_DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {name: dtype for dtype, name in _DTYPE_NAMES.items()}
)

Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 48)]
Header = TypeVar("Header")


class TensorSpec(msgspec.Struct, frozen=True, array_like=True):
    """Dtype and shape of a tensor that travels."""

    dtype: str
    shape: Annotated[tuple[Size, ...], msgspec.Meta(max_length=8)]


Specs = Annotated[tuple[TensorSpec, ...], msgspec.Meta(max_length=_MAX_TENSORS)]


class Envelope(msgspec.Struct, Generic[Header], frozen=True, array_like=True):
    """A header and what accompanies it: for each class, its tensors in order."""

    header: Header
    groups: dict[TensorClass, Specs]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a tensor lies within its group's bytes."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int
    elements: int


@dataclass(frozen=True, slots=True)
class Layout:
    """How a group's tensors lie in its bytes."""

    tensors: tuple[Placed, ...]
    size_bytes: int


_ENCODER = msgspec.msgpack.Encoder()
REQUESTS: msgspec.msgpack.Decoder[Envelope[Request]] = msgspec.msgpack.Decoder(Envelope[Request])
REPLIES: msgspec.msgpack.Decoder[Envelope[Reply]] = msgspec.msgpack.Decoder(Envelope[Reply])


def encode(header: Request | Reply, groups: Mapping[TensorClass, Sequence[Tensor]]) -> bytes:
    """All of a message that goes before its payload.

    Raises:
        TransportError: a tensor has a dtype that does not travel.
    """
    payload_bytes = 0
    specs: dict[TensorClass, tuple[TensorSpec, ...]] = {}
    for name, tensors in groups.items():
        specs[name] = tuple(map(_spec_of, tensors))
        size_bytes = 0
        for tensor in tensors:
            size_bytes = aligned(size_bytes) + tensor.nbytes
        payload_bytes += size_bytes
    encoded = _ENCODER.encode(Envelope(header, specs))
    return PREFIX.pack(_MAGIC, len(encoded), payload_bytes) + encoded


def header_size(prefix: bytes | bytearray) -> tuple[int, int]:
    """Sizes of header and payload, in bytes, that a prefix announces.

    Raises:
        TransportError: this is no prefix, or it announces more than any message has.
    """
    magic, header_bytes, payload_bytes = PREFIX.unpack(prefix)
    if magic != _MAGIC or header_bytes > _MAX_HEADER_BYTES:
        raise TransportError(
            f"What arrived is no message of this artifact (it begins with {bytes(prefix)!r}).",
            "Check that both sides run the same version and that no other program uses the port.",
        )
    return header_bytes, payload_bytes


def decode(
    decoder: msgspec.msgpack.Decoder[Envelope[Header]],
    encoded: bytes | bytearray | memoryview,
    payload_bytes: int,
) -> tuple[Header, dict[TensorClass, Layout]]:
    """The header of a message, and how each group of its payload is laid out.

    Raises:
        TransportError: the header does not fit its type, or not the announced payload.
    """
    try:
        envelope = decoder.decode(encoded)
        layouts = {name: _layout(specs) for name, specs in envelope.groups.items()}
    except (msgspec.DecodeError, KeyError) as error:
        raise TransportError(
            f"A message's header cannot be understood: {error}.",
            "Check that both sides run the same version.",
        ) from error
    described_bytes = sum(layout.size_bytes for layout in layouts.values())
    if described_bytes != payload_bytes:
        raise TransportError(
            f"A message announces {payload_bytes} bytes but describes tensors of "
            f"{described_bytes} bytes.",
            "Check that both sides run the same version.",
        )
    return envelope.header, layouts


def aligned(offset: int) -> int:
    """The next offset, from this one on, at which a tensor may begin."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def _spec_of(tensor: Tensor) -> TensorSpec:
    try:
        return TensorSpec(_DTYPE_NAMES[tensor.dtype], tuple(tensor.shape))
    except KeyError:
        raise TransportError(
            f"Tensors of {tensor.dtype} do not travel.", "Use one of: " + ", ".join(_DTYPES) + "."
        ) from None


def _layout(specs: Sequence[TensorSpec]) -> Layout:
    placed = []
    end = 0
    for spec in specs:
        dtype = _DTYPES[spec.dtype]
        elements = math.prod(spec.shape)
        offset = aligned(end)
        placed.append(Placed(dtype, spec.shape, offset, elements))
        end = offset + elements * dtype.itemsize
    return Layout(tuple(placed), end)
