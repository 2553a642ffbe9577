"""The form of a message on a ``tcp`` connection, apart from any socket.

    magic (4 bytes) | header size (uint32) | payload size (uint64) | header | payload

Integers are little-endian. The header is MessagePack, decoded against the types of
``semgap.protocol``; it names class, dtype and shape of each tensor. The payload is the tensors'
own bytes, group by group. Within a group each tensor begins at a multiple of 64 bytes, so that a
group can be received as one piece and used in place.
"""

from __future__ import annotations

import functools
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


Groups = dict[TensorClass, Specs]


class Envelope(msgspec.Struct, Generic[Header], frozen=True, array_like=True):
    """A header and, encoded as ``Groups``, what accompanies it: each class's tensors in order."""

    header: Header
    groups: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a tensor lies within its group's bytes.

    Attributes:
        padding: bytes between the tensor before it and its own first one.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int
    padding: int
    elements: int


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """How a group's tensors lie in its bytes."""

    tensors: tuple[Placed, ...]
    size_bytes: int


_ENCODER = msgspec.msgpack.Encoder()
REQUESTS: msgspec.msgpack.Decoder[Envelope[Request]] = msgspec.msgpack.Decoder(Envelope[Request])
REPLIES: msgspec.msgpack.Decoder[Envelope[Reply]] = msgspec.msgpack.Decoder(Envelope[Reply])
_GROUPS: msgspec.msgpack.Decoder[Groups] = msgspec.msgpack.Decoder(Groups)


def encode(
    header: Request | Reply, groups: Mapping[TensorClass, Sequence[Tensor]]
) -> tuple[bytes, tuple[Layout, ...]]:
    """All of a message that goes before its payload, and how the payload is laid out.

    Raises:
        TransportError: a tensor has a dtype that does not travel.
    """
    encoded_groups, layouts, payload_bytes = _described(
        tuple(
            [
                (name, tuple([(tensor.dtype, tensor.shape) for tensor in tensors]))
                for name, tensors in groups.items()
            ]
        )
    )
    encoded = _ENCODER.encode((header, encoded_groups))
    return PREFIX.pack(_MAGIC, len(encoded), payload_bytes) + encoded, layouts


def header_size(prefix: memoryview) -> int:
    """Bytes of the header that a prefix announces.

    Raises:
        TransportError: this is no prefix, or it announces more than any message has.
    """
    magic, header_bytes, _payload_bytes = PREFIX.unpack(prefix)
    if magic != _MAGIC or header_bytes > _MAX_HEADER_BYTES:
        raise TransportError(
            f"What arrived is no message of this artifact (it begins with {bytes(prefix)!r}).",
            "Check that both sides run the same version and that no other program uses the port.",
        )
    return int(header_bytes)


def decode(
    decoder: msgspec.msgpack.Decoder[Envelope[Header]], head: memoryview
) -> tuple[Header, Mapping[TensorClass, Layout]]:
    """The header of a message, and how each group of its payload is laid out.

    Args:
        head: all of a message that goes before its payload.

    Raises:
        TransportError: the header does not fit its type, or not the announced payload.
    """
    try:
        envelope = decoder.decode(head[PREFIX.size :])
        layouts, described_bytes = _layouts(bytes(envelope.groups))
    except (msgspec.DecodeError, KeyError) as error:
        raise TransportError(
            f"A message's header cannot be understood: {error}.",
            "Check that both sides run the same version.",
        ) from error
    _magic, _header_bytes, payload_bytes = PREFIX.unpack_from(head)
    if described_bytes != payload_bytes:
        raise TransportError(
            f"A message announces {payload_bytes} bytes but describes tensors of "
            f"{described_bytes} bytes.",
            "Check that both sides run the same version.",
        )
    return envelope.header, layouts


def _aligned(offset: int) -> int:
    """The next offset, from this one on, at which a tensor may begin."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


@functools.lru_cache(maxsize=8)
def _described(
    groups: tuple[tuple[TensorClass, tuple[tuple[torch.dtype, torch.Size], ...]], ...],
) -> tuple[msgspec.Raw, tuple[Layout, ...], int]:
    """Groups in encoded form, their layouts and their bytes; most steps repeat what they carry."""
    specs = {name: tuple(_spec_of(*tensor) for tensor in tensors) for name, tensors in groups}
    layouts = tuple(map(_layout, specs.values()))
    return (
        msgspec.Raw(_ENCODER.encode(specs)),
        layouts,
        sum(layout.size_bytes for layout in layouts),
    )


def _spec_of(dtype: torch.dtype, shape: torch.Size) -> TensorSpec:
    try:
        return TensorSpec(_DTYPE_NAMES[dtype], tuple(shape))
    except KeyError:
        raise TransportError(
            f"Tensors of {dtype} do not travel.", "Use one of: " + ", ".join(_DTYPES) + "."
        ) from None


@functools.lru_cache(maxsize=8)
def _layouts(groups: bytes) -> tuple[Mapping[TensorClass, Layout], int]:
    """The reverse of ``_described``."""
    layouts = {name: _layout(specs) for name, specs in _GROUPS.decode(groups).items()}
    return MappingProxyType(layouts), sum(layout.size_bytes for layout in layouts.values())


def _layout(specs: Sequence[TensorSpec]) -> Layout:
    placed = []
    end = 0
    for spec in specs:
        dtype = _DTYPES[spec.dtype]
        elements = math.prod(spec.shape)
        offset = _aligned(end)
        placed.append(Placed(dtype, spec.shape, offset, offset - end, elements))
        end = offset + elements * dtype.itemsize
    return Layout(tuple(placed), end)
