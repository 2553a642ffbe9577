"""Payload that TCP sent more than once, told by its sequence numbers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semgap.pcap.packets import SegmentBatch

_SYN = 0x02
_SEQUENCE_NUMBERS = 1 << 32
_LONG_BEFORE = -(1 << 62)


class Flow(NamedTuple):
    """One direction of a connection; addresses are 16 bytes as in ``SegmentBatch``."""

    src_ip: bytes
    src_port: int
    dst_ip: bytes
    dst_port: int


class RetransmissionCounter:
    """Counts, for each flow, payload bytes whose place in the stream was captured before.

    A segment that was only reordered counts nothing. A packet that was captured twice (on two
    interfaces that it crosses, say) counts like one that was sent twice, and so do the bytes of
    keep-alive probes.
    """

    def __init__(self) -> None:
        self._streams: dict[Flow, _Stream] = {}

    def add(self, batch: SegmentBatch) -> None:
        """Take in the next batch of the capture."""
        opening = (batch.flags & _SYN) != 0
        telling = np.flatnonzero((batch.payload_bytes > 0) | opening)
        for flow, segment in _by_flow(batch, telling):
            self._streams.setdefault(flow, _Stream()).add(
                batch.seq[segment].astype(np.int64),
                batch.payload_bytes[segment],
                opening[segment],
            )

    def retransmitted_bytes(self) -> dict[Flow, int]:
        """Bytes so far of each flow that carried payload or opened a connection."""
        return {flow: stream.retransmitted_bytes for flow, stream in self._streams.items()}


def _by_flow(
    batch: SegmentBatch, segment: NDArray[np.int64]
) -> Iterator[tuple[Flow, NDArray[np.int64]]]:
    """Each flow among the segments and, in their order, its own."""
    ports = (batch.src_port[segment].astype(np.uint32) << np.uint32(16)) | batch.dst_port[segment]
    order = np.argsort(ports, kind="stable")
    ports = ports[order]
    cuts = np.flatnonzero(ports[1:] != ports[:-1]) + 1
    for same_ports in np.split(segment[order], cuts):
        rest = same_ports
        while rest.size:
            first = rest[0]
            same = (batch.src_ip[rest] == batch.src_ip[first]) & (
                batch.dst_ip[rest] == batch.dst_ip[first]
            )
            flow = Flow(
                batch.src_ip[first].tobytes(),
                int(batch.src_port[first]),
                batch.dst_ip[first].tobytes(),
                int(batch.dst_port[first]),
            )
            yield flow, rest[same]
            rest = rest[~same]


@dataclass
class _Stream:
    """What was seen of one flow; positions in its stream do not wrap.

    Attributes:
        retransmitted_bytes: of all connections that the flow had.
        opening_seq: sequence number of the connection's SYN; None if it was not captured.
        last_seq, last_position: of the last segment, as its number and unwrapped; None before.
        highest: position behind the last byte seen.
        holes: what was not seen below ``highest``, as rising pairs of begin and end.
    """

    retransmitted_bytes: int = 0
    opening_seq: int | None = None
    last_seq: int | None = None
    last_position: int = 0
    highest: int = 0
    holes: list[tuple[int, int]] = field(default_factory=list)

    def add(
        self,
        seq: NDArray[np.int64],
        payload_bytes: NDArray[np.int64],
        opening: NDArray[np.bool_],
    ) -> None:
        """Take in segments in the order of their capture."""
        # A SYN takes up one sequence number, in front of what payload it carries.
        data_seq = (seq + opening) % _SEQUENCE_NUMBERS
        begin = 0
        for at in np.flatnonzero(opening).tolist():
            if seq[at] != self.opening_seq:
                self._add_data(data_seq[begin:at], payload_bytes[begin:at])
                self.opening_seq, self.last_seq = int(seq[at]), None
                begin = at
        self._add_data(data_seq[begin:], payload_bytes[begin:])

    def _add_data(self, seq: NDArray[np.int64], payload_bytes: NDArray[np.int64]) -> None:
        if seq.size == 0:
            return
        if self.last_seq is None:
            self.last_seq, self.last_position, self.highest = int(seq[0]), 0, 0
            self.holes = [(_LONG_BEFORE, 0)]
        # Segments in flight are less than half the sequence space apart (RFC 7323, section 2.2).
        steps = np.diff(seq, prepend=self.last_seq)
        half = _SEQUENCE_NUMBERS // 2
        begin = self.last_position + np.cumsum((steps + half) % _SEQUENCE_NUMBERS - half)
        end = begin + payload_bytes
        highest = np.maximum.accumulate(np.concatenate([[self.highest], end]))
        self.last_seq, self.last_position = int(seq[-1]), int(begin[-1])
        self.highest = int(highest[-1])
        before = highest[:-1]
        out_of_step = np.flatnonzero((begin != before) & (payload_bytes > 0))
        for first, behind, seen_to in zip(
            begin[out_of_step].tolist(),
            end[out_of_step].tolist(),
            before[out_of_step].tolist(),
            strict=True,
        ):
            if first > seen_to:
                self.holes.append((seen_to, first))
            else:
                behind_seen = min(behind, seen_to)
                new_bytes = self._fill(first, behind_seen)
                self.retransmitted_bytes += behind_seen - first - new_bytes

    def _fill(self, begin: int, end: int) -> int:
        """Take a range out of the holes; how many bytes of it were a hole's."""
        low = bisect_right(self.holes, begin, key=lambda hole: hole[1])
        high = bisect_left(self.holes, end, key=lambda hole: hole[0])
        touched = self.holes[low:high]
        if not touched:
            return 0
        left, right = touched[0][0], touched[-1][1]
        edges = [(left, begin), (end, right)]
        self.holes[low:high] = [edge for edge in edges if edge[0] < edge[1]]
        return sum(min(hole[1], end) - max(hole[0], begin) for hole in touched)
