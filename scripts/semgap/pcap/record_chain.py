"""Where each record of a capture begins, found without a Python step for every record.

Each record states its own length, so its successor's place is known only once it is read. Lanes
that start at likely record boundaries all over the data follow their chains in step, one numpy
operation moving all of them. What they find is a guess: it is used only as far as each position
is proven to be the successor of the one before, and a plain walk bridges everything else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

_LANE_BYTES = 8192
# Where lanes look for their first record, at most. Longer records leave lanes without one, but
# then there are few records to follow.
_WINDOW_BYTES = 2048
_HOPS = 3
# With fewer unfinished lanes, a plain walk of what remains is faster.
_FEWEST_LANES = 24


class End(Enum):
    """Why a chain ends where it does."""

    INCOMPLETE = "the data end before the record does"
    CORRUPT = "the record states an impossible length"
    SENTINEL = "the record is of the kind that ends a chain"


@dataclass(frozen=True)
class Framing:
    """How records of a capture follow each other.

    Attributes:
        order: byte order of the fields, ``<`` or ``>``.
        header_bytes: what must be there of a record to know its length; 8 or more.
        length_at: offset of the length, a uint32, in the record.
        shortest, longest: bounds of the value of the length, both included.
        multiple: what each length is a multiple of.
        extra_bytes: length of a record less its stated length.
        usual_longest_bytes: length of a record that few exceed; influences speed alone.
        mark_low, mark_high: bounds of the first uint32 of the records worth a guess.
        sentinel: value of the first uint32 of a record that ends the chain; None without one.
    """

    order: str
    header_bytes: int
    length_at: int
    shortest: int
    longest: int
    multiple: int
    extra_bytes: int
    usual_longest_bytes: int
    mark_low: int
    mark_high: int
    sentinel: int | None


@dataclass(frozen=True)
class Chain:
    """Records that follow each other without a gap.

    Attributes:
        starts: int64, offset of each complete record.
        end: offset behind the last complete record.
        reason: why there is no further one.
    """

    starts: NDArray[np.int64]
    end: int
    reason: End


def u32_fields(data: NDArray[np.uint8], order: str) -> NDArray[np.uint32]:
    """The uint32 at every byte offset of ``data``, as a view; shorter than ``data`` by 3."""
    return np.ndarray((max(0, data.size - 3),), dtype=f"{order}u4", buffer=data, strides=(1,))


def record_chain(data: NDArray[np.uint8], framing: Framing, lane_bytes: int = _LANE_BYTES) -> Chain:
    """Follow the records from offset 0 to the last one that ``data`` (uint8) holds completely.

    ``lane_bytes`` is how far lanes start from each other; it influences speed alone.
    """
    walk = _Walk(data, framing)
    pieces: list[NDArray[np.int64]] = []
    position = 0
    for run in _proven_runs(data, framing, _guess(data, framing, lane_bytes)):
        if run[0] < position:
            continue
        walked, position, reason = walk.until(position, int(run[0]))
        pieces.append(walked)
        if reason is not None:
            return Chain(np.concatenate(pieces), position, reason)
        if position == run[0]:
            pieces.append(run[:-1])
            position = int(run[-1])
    walked, position, reason = walk.until(position, data.size + 1)
    pieces.append(walked)
    return Chain(np.concatenate(pieces), position, reason or End.INCOMPLETE)


class _Walk:
    """The plain way to follow records, one at a time."""

    def __init__(self, data: NDArray[np.uint8], framing: Framing) -> None:
        self._data = data.data
        self._framing = framing
        self._field = struct.Struct(f"{framing.order}I")

    def until(self, position: int, stop: int) -> tuple[NDArray[np.int64], int, End | None]:
        """Records from ``position`` to the first that does not begin before ``stop``.

        Returns:
            Their offsets, the offset behind them, and why the walk ended before ``stop``.
        """
        framing = self._framing
        starts: list[int] = []
        size = len(self._data)
        reason: End | None = None
        while position < stop:
            if position + framing.header_bytes > size:
                reason = End.INCOMPLETE
                break
            if framing.sentinel == self._field.unpack_from(self._data, position)[0]:
                reason = End.SENTINEL
                break
            length = self._field.unpack_from(self._data, position + framing.length_at)[0]
            if not framing.shortest <= length <= framing.longest or length % framing.multiple:
                reason = End.CORRUPT
                break
            following = position + length + framing.extra_bytes
            if following > size:
                reason = End.INCOMPLETE
                break
            starts.append(position)
            position = following
        return np.array(starts, dtype=np.int64), position, reason


def _proven_runs(
    data: NDArray[np.uint8], framing: Framing, guess: NDArray[np.int64]
) -> Iterator[NDArray[np.int64]]:
    """Cut a guess into runs of records of which each is proven to follow the one before.

    Whether a run's first record is one is not proven, nor whether its last one is complete.
    """
    if guess.size == 0:
        return
    fields = u32_fields(data, framing.order)
    length = fields[guess + framing.length_at].astype(np.int64)
    sound = (length >= framing.shortest) & (length <= framing.longest)
    if framing.multiple > 1:
        sound &= length % framing.multiple == 0
    if framing.sentinel is not None:
        sound &= fields[guess] != framing.sentinel
    follows = sound[:-1] & (guess[:-1] + length[:-1] + framing.extra_bytes == guess[1:])
    begin = 0
    for cut in (np.flatnonzero(~follows) + 1).tolist():
        yield guess[begin:cut]
        begin = cut
    yield guess[begin:]


def _guess(data: NDArray[np.uint8], framing: Framing, lane_bytes: int) -> NDArray[np.int64]:
    """Offsets, in rising order, where records are likely to begin; none if data are few."""
    heads = _lane_heads(data, framing, lane_bytes)
    if heads.size < _FEWEST_LANES:
        return np.empty(0, dtype=np.int64)
    last = data.size - framing.header_bytes
    limit = np.append(heads[1:], last)
    lengths = u32_fields(data, framing.order)[framing.length_at :]
    position = heads
    rows: list[NDArray[np.int64]] = []
    # A lane that is done runs on into the next one's part, which is cheaper than to halt it.
    for _ in range(lane_bytes // max(1, framing.shortest + framing.extra_bytes) + 1):
        rows.append(position)
        position = position + lengths[position]
        position += framing.extra_bytes
        np.minimum(position, last, out=position)
        if np.count_nonzero(position < limit) < _FEWEST_LANES:
            break
    by_lane = np.stack(rows, axis=1)
    return by_lane[by_lane < limit[:, None]]


def _lane_heads(data: NDArray[np.uint8], framing: Framing, lane_bytes: int) -> NDArray[np.int64]:
    """Offset 0, and the first likely record boundary of each lane that has one."""
    window = min(_WINDOW_BYTES, lane_bytes, framing.usual_longest_bytes)
    lanes = (data.size - window - framing.header_bytes) // lane_bytes
    if lanes < _FEWEST_LANES:
        return np.empty(0, dtype=np.int64)
    first = np.zeros(1, dtype=np.int64)
    fields = u32_fields(data, framing.order)
    windows: NDArray[np.uint32] = np.ndarray(
        (lanes - 1, window),
        dtype=fields.dtype,
        buffer=data,
        offset=lane_bytes,
        strides=(lane_bytes, 1),
    )
    lane, offset = np.nonzero((windows >= framing.mark_low) & (windows <= framing.mark_high))
    candidate = (lane + 1) * lane_bytes + offset
    position = candidate
    likely = np.ones(candidate.size, dtype=np.bool_)
    last = data.size - framing.header_bytes
    for _ in range(_HOPS):
        mark = fields[position]
        length = fields[position + framing.length_at].astype(np.int64)
        likely &= (mark >= framing.mark_low) & (mark <= framing.mark_high)
        likely &= (length >= framing.shortest) & (length <= framing.longest)
        likely &= length % framing.multiple == 0
        position = np.minimum(position + length + framing.extra_bytes, last)
    lane_of_likely = lane[likely]
    _, earliest = np.unique(lane_of_likely, return_index=True)
    return np.concatenate([first, candidate[likely][earliest]])
