"""The form of a message on a ``tcp`` connection, apart from any socket.

    magic (4 bytes) | header size (uint32) | payload size (uint64) | header | payload

Integers are little-endian. The header is MessagePack, decoded against the types of
``semgap.protocol``; it names class, dtype and shape of each tensor. The payload is the
tensors' own bytes, group by group. Within a group each tensor begins at a multiple of 64 bytes, so
that a group can be received as one piece and used in place.
"""

import functools
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Generic, TypeVar

import msgspec
import torch

from semgap.errors import TransportError
from semgap.policy import TensorClass
from semgap.protocol import Reply, Request

PREFIX = struct.Struct("<4sIQ")
ALIGNMENT = 64

_MAGIC = b"sgp1"
_MAX_HEADER_BYTES = 4_000_000
_MAX_TENSORS = 1 << 16
# Names as numpy has them, and one that it has not.
BFLOAT16 = "bfloat16"
DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "f": torch.float32,
        "e": torch.float16,
        BFLOAT16: torch.bfloat16,
        "d": torch.float64,
        "l": torch.int64,
        "i": torch.int32,
        "B": torch.uint8,
        "?": torch.bool,
    }
)

_NAMES = {dtype: name for name, dtype in DTYPES.items()}

# What travels: for each class, its tensors' dtypes and shapes.
Kinds = tuple[tuple[TensorClass, tuple[tuple[torch.dtype, tuple[int, ...]], ...]], ...]
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
    """Where a tensor lies within its group's bytes; ``dtype`` is a name in ``DTYPES``."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
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


def encode(header: Request | Reply, kinds: Kinds, payload_bytes: int) -> bytes:
    """All of a message that goes before its payload.

    Args:
        payload_bytes: bytes of all groups, with the padding within them.

    Raises:
        TransportError: a tensor has a dtype that does not travel.
    """
    encoded = _ENCODER.encode((header, _described(kinds)))
    return PREFIX.pack(_MAGIC, len(encoded), payload_bytes) + encoded


def read_prefix(early: memoryview) -> tuple[int, int]:
    """Sizes of a message's head and payload, in bytes, from at least its prefix.

    Raises:
        TransportError: this is no prefix, or it announces more than any message has.
    """
    magic, header_bytes, payload_bytes = PREFIX.unpack_from(early)
    if magic != _MAGIC or header_bytes > _MAX_HEADER_BYTES:
        raise TransportError(
            "What arrived is no message of this artifact (it begins with "
            f"{bytes(early[: PREFIX.size])!r}).",
            "Check that both sides run the same version and that no other program uses the port.",
        )
    return PREFIX.size + header_bytes, payload_bytes


def decode(
    decoder: msgspec.msgpack.Decoder[Envelope[Header]], header: memoryview, payload_bytes: int
) -> tuple[Header, dict[TensorClass, Layout]]:
    """The header of a message, and how each group of its payload is laid out.

    Raises:
        TransportError: the header does not fit its type, or not the announced payload.
    """
    try:
        envelope = decoder.decode(header)
        layouts, described_bytes = _layouts(bytes(envelope.groups))
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError) as error:
        raise TransportError(
            f"A message's header cannot be understood: {error}.",
            "Check that both sides run the same version.",
        ) from error
    if described_bytes != payload_bytes:
        raise TransportError(
            f"A message announces {payload_bytes} bytes but describes tensors of "
            f"{described_bytes} bytes.",
            "Check that both sides run the same version.",
        )
    return envelope.header, layouts


@functools.lru_cache(maxsize=8)
def _described(kinds: Kinds) -> msgspec.Raw:
    """Groups in encoded form; most steps carry what the one before carried."""
    try:
        specs = {
            name: tuple(TensorSpec(_NAMES[dtype], tuple(shape)) for dtype, shape in tensors)
            for name, tensors in kinds
        }
    except KeyError as error:
        raise TransportError(
            f"Tensors of {error} do not travel.", f"Use one of: {', '.join(map(str, _NAMES))}."
        ) from None
    return msgspec.Raw(_ENCODER.encode(specs))


@functools.lru_cache(maxsize=8)
def _layouts(groups: bytes) -> tuple[dict[TensorClass, Layout], int]:
    """How each encoded group is laid out, and the bytes of all."""
    layouts = {name: _layout(specs) for name, specs in _GROUPS.decode(groups).items()}
    return layouts, sum(layout.size_bytes for layout in layouts.values())


def _layout(specs: Sequence[TensorSpec]) -> Layout:
    placed = []
    end = 0
    for spec in specs:
        elements = math.prod(spec.shape)
        offset = end + -end % ALIGNMENT
        placed.append(Placed(spec.dtype, spec.shape, offset, elements))
        end = offset + elements * DTYPES[spec.dtype].itemsize
    return Layout(tuple(placed), end)
