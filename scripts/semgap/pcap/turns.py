"""Turns on the wire: which of two ends spoke from when to when, by the packets between them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from semgap.pcap.reader import Bools, Integers, Segments
from semgap.pcap.traffic_window import FlowBytes, sent_through
from semgap.plumbing.tcp_sockets import SocketPair, reverse_of

UP = "up"
DOWN = "down"


class Turn(msgspec.Struct, frozen=True):
    """Packets with new payload, all in one direction, with none of the other between them."""

    direction: str  # up (client to worker) or down
    # begin_unix_ns, end_unix_ns: the kernel's stamps of the first and of the last packet
    begin_unix_ns: int
    end_unix_ns: int
    payload_bytes: int


class _Columns(NamedTuple):
    is_up: Bools
    begin_ns: Integers
    end_ns: Integers
    payload_bytes: Integers

    def at(self, index: Integers) -> "_Columns":
        """These rows, in this order."""
        is_up, begin_ns, end_ns, payload_bytes = self
        return _Columns(is_up[index], begin_ns[index], end_ns[index], payload_bytes[index])


def _all_of(parts: Sequence[_Columns]) -> _Columns:
    is_up, begin_ns, end_ns, payload_bytes = zip(*parts, strict=True)
    return _Columns(*map(np.concatenate, (is_up, begin_ns, end_ns, payload_bytes)))


class Turns:
    """Collects the turns of some connections; what is sent again is no turn.

    Args:
        upward: the connections, from the client's end to the worker's.
    """

    def __init__(self, upward: Iterable[SocketPair]) -> None:
        self._flows = [
            (pair, is_up, FlowBytes())
            for one in upward
            for pair, is_up in ((one, True), (reverse_of(one), False))
        ]
        self._found: list[_Columns] = []

    def add(self, segments: Segments) -> None:
        """Take in the next segments of the capture."""
        of_flows = []
        for pair, is_up, flow in self._flows:
            chosen = sent_through(segments, pair)
            if chosen.size:
                size = segments.payload_bytes[chosen]
                new_bytes = flow.add(segments.seq[chosen], size, segments.frame_bytes[chosen])
                is_new = new_bytes > 0
                time_ns = segments.time_ns[chosen][is_new]
                of_flows.append(
                    _Columns(np.full(time_ns.size, is_up), time_ns, time_ns, new_bytes[is_new])
                )
        if of_flows:
            together = _all_of(of_flows)
            in_order = together.at(np.argsort(together.begin_ns, kind="stable"))
            self._found.append(_joined(in_order))

    def found(self) -> list[Turn]:
        """All turns, in the order of time."""
        if not self._found:
            return []
        joined = _joined(_all_of(self._found))
        return [
            Turn(UP if is_up else DOWN, *numbers)
            for is_up, *numbers in zip(*(column.tolist() for column in joined), strict=True)
        ]


def _joined(columns: _Columns) -> _Columns:
    """Neighbours of one direction as one."""
    if columns.is_up.size == 0:
        return columns
    starts = np.flatnonzero(np.append(True, columns.is_up[1:] != columns.is_up[:-1]))
    return _Columns(
        columns.is_up[starts],
        columns.begin_ns[starts],
        np.maximum.reduceat(columns.end_ns, starts),
        np.add.reduceat(columns.payload_bytes, starts),
    )
