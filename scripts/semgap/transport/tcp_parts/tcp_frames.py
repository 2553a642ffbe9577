"""The form of a message on a ``tcp`` connection, apart from any socket.

    magic (4 bytes) | header size (uint32) | payload size (uint64) | clock (int64) | header |
    payload

Integers are little-endian. The clock is the sender's monotonic one, in nanoseconds, when the first
part of the payload was in its host's memory. The header is MessagePack, decoded against the types
of ``semgap.protocol``; it names class, dtype and shape of each tensor. The payload is the tensors'
own bytes, group by group. Within a group each tensor begins at a multiple of 64 bytes, so that a
group can be received as one piece and used in place.
"""

import functools
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, Literal, TypeVar, get_args

import msgspec
import torch
from torch import Tensor

from semgap.errors import TransportError
from semgap.policy import TensorClass
from semgap.protocol import Reply, Request

PREFIX = struct.Struct("<4sIQq")
ALIGNMENT = 64

_MAGIC = b"sgp2"
_MAX_HEADER_BYTES = 4_000_000
_MAX_TENSORS = 1 << 16
_SAME_VERSION = "Check that both sides run the same version."

DtypeName = Literal["float32", "float16", "bfloat16", "float64", "int64", "int32", "uint8", "bool"]
DTYPES: Mapping[str, torch.dtype] = {name: getattr(torch, name) for name in get_args(DtypeName)}
_NAMES: Mapping[torch.dtype, DtypeName] = {dtype: name for name, dtype in DTYPES.items()}  # type: ignore[misc]

Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 48)]
Header = TypeVar("Header")


class TensorSpec(msgspec.Struct, frozen=True, array_like=True):
    """Dtype and shape of a tensor that travels."""

    dtype: DtypeName
    shape: Annotated[tuple[Size, ...], msgspec.Meta(max_length=8)]


Specs = Annotated[tuple[TensorSpec, ...], msgspec.Meta(max_length=_MAX_TENSORS)]


Groups = dict[TensorClass, Specs]


class Envelope(msgspec.Struct, Generic[Header], frozen=True, array_like=True):
    """A header and, encoded as ``Groups``, what accompanies it: each class's tensors in order."""

    header: Header
    groups: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a tensor lies within its group's bytes."""

    spec: TensorSpec
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """How a group's tensors lie in its bytes."""

    tensors: tuple[Placed, ...]
    size_bytes: int


_ENCODER = msgspec.msgpack.Encoder()
REQUESTS = msgspec.msgpack.Decoder(Envelope[Request])
REPLIES = msgspec.msgpack.Decoder(Envelope[Reply])
_GROUPS = msgspec.msgpack.Decoder(Groups)


def encode(
    header: Request | Reply, tensors: Mapping[TensorClass, Sequence[Tensor]]
) -> tuple[bytes, list[Layout]]:
    """A message's header, and each group's layout within the payload.

    Raises:
        TransportError: a tensor has a dtype that does not travel.
    """
    described = tuple(
        (name, tuple((tensor.dtype, tuple(tensor.shape)) for tensor in group))
        for name, group in tensors.items()
    )
    groups, layouts = _described(described)
    return _ENCODER.encode((header, groups)), layouts


@functools.lru_cache(maxsize=8)
def _described(
    groups: tuple[tuple[TensorClass, tuple[tuple[torch.dtype, tuple[int, ...]], ...]], ...],
) -> tuple[msgspec.Raw, list[Layout]]:
    """Groups as they are encoded, and their layouts: most messages carry what one before did."""
    try:
        specs = {
            name: tuple(TensorSpec(_NAMES[dtype], shape) for dtype, shape in group)
            for name, group in groups
        }
    except KeyError as error:
        raise TransportError(
            f"Tensors of {error} do not travel.", f"Use one of: {', '.join(DTYPES)}."
        ) from None
    return msgspec.Raw(_ENCODER.encode(specs)), list(map(_layout, specs.values()))


def head_of(header: bytes, payload_bytes: int, departing_ns: int) -> bytes:
    """A message's bytes before its payload."""
    return PREFIX.pack(_MAGIC, len(header), payload_bytes, departing_ns) + header


def read_prefix(prefix: bytes) -> tuple[int, int, int]:
    """Sizes of a message's header and payload, in bytes, and the sender's clock.

    Raises:
        TransportError: this is no prefix, or it announces more than any message has.
    """
    magic, header_bytes, payload_bytes, departing_ns = PREFIX.unpack(prefix)
    if magic != _MAGIC or header_bytes > _MAX_HEADER_BYTES:
        raise TransportError(
            f"What arrived is no message of this artifact (it begins with {prefix!r}).",
            "Check that both sides run the same version and that no other program uses the port.",
        )
    return header_bytes, payload_bytes, departing_ns


def decode(
    decoder: msgspec.msgpack.Decoder[Envelope[Header]], header: bytes, payload_bytes: int
) -> tuple[Header, dict[TensorClass, Layout]]:
    """The header of a message, and how each group of its payload is laid out.

    Raises:
        TransportError: the header does not fit its type, or not the announced payload.
    """
    try:
        envelope = decoder.decode(header)
        layouts = _layouts(bytes(envelope.groups))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TransportError(
            f"A message's header cannot be understood: {error}.", _SAME_VERSION
        ) from error
    described_bytes = sum(layout.size_bytes for layout in layouts.values())
    if described_bytes != payload_bytes:
        raise TransportError(
            f"A message announces {payload_bytes} bytes but describes tensors of "
            f"{described_bytes} bytes.",
            _SAME_VERSION,
        )
    return envelope.header, layouts


@functools.lru_cache(maxsize=8)
def _layouts(groups: bytes) -> dict[TensorClass, Layout]:
    """How each encoded group is laid out; most messages carry what the one before carried."""
    return {name: _layout(specs) for name, specs in _GROUPS.decode(groups).items()}


def _layout(specs: Iterable[TensorSpec]) -> Layout:
    placed = []
    end = 0
    for spec in specs:
        offset = end + -end % ALIGNMENT
        size_bytes = math.prod(spec.shape) * DTYPES[spec.dtype].itemsize
        placed.append(Placed(spec, offset, size_bytes))
        end = offset + size_bytes
    return Layout(tuple(placed), end)
