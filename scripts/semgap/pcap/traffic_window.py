"""What a capture shows of some connections between two instants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from semgap.pcap.retransmissions import Flow, RetransmissionCounter
from semgap.pcap.segments import SegmentBatch, packed_ip, unpacked_ip
from semgap.plumbing.connections import SocketPair


class Counted(NamedTuple):
    """Traffic of some connections, each in one direction.

    Attributes:
        payload_bytes: TCP payload, each byte once.
        retransmitted_bytes: TCP payload that was sent again.
        frame_bytes: whole frames as captured, headers included.
    """

    payload_bytes: int
    retransmitted_bytes: int
    frame_bytes: int
    packets: int


@dataclass
class _Sums:
    payload_bytes: int = 0
    frame_bytes: int = 0
    packets: int = 0


class TrafficWindow:
    """Counts what was captured of some connections between two instants.

    Args:
        pairs: the connections, each in one direction.
        ports: where nothing but these connections may carry payload.
    """

    def __init__(
        self,
        begin_unix_ns: int,
        end_unix_ns: int,
        pairs: Iterable[SocketPair],
        ports: Iterable[int] = (),
    ) -> None:
        self._begin_unix_ns = begin_unix_ns
        self._end_unix_ns = end_unix_ns
        self._sums = {pair: _Sums() for pair in pairs}
        self._ports = np.array(sorted(ports), dtype=np.int64)
        self._foreign_bytes: Counter[SocketPair] = Counter()
        self._retransmissions = RetransmissionCounter()

    def add(self, batch: SegmentBatch) -> None:
        """Take in the next batch of the capture."""
        during = (batch.time_ns >= self._begin_unix_ns) & (batch.time_ns < self._end_unix_ns)
        others = during & _at_ports(batch, self._ports) & (batch.payload_bytes > 0)
        for pair, sums in self._sums.items():
            chosen = during & _matches(batch, pair)
            others &= ~chosen
            sums.payload_bytes += int(batch.payload_bytes[chosen].sum())
            sums.frame_bytes += int(batch.frame_bytes[chosen].sum())
            sums.packets += int(chosen.sum())
            self._retransmissions.add(_only(batch, chosen))
        for index in np.flatnonzero(others):
            self._foreign_bytes[_pair_at(batch, int(index))] += int(batch.payload_bytes[index])

    @property
    def foreign_bytes(self) -> Mapping[SocketPair, int]:
        """Payload that other connections carried at the ports, by connection."""
        return self._foreign_bytes

    def count(self, pairs: Iterable[SocketPair]) -> Counted:
        """The traffic of some of the connections, from their local to their remote ends."""
        retransmitted = self._retransmissions.retransmitted_bytes()
        again_bytes = payload_bytes = frame_bytes = packets = 0
        for pair in pairs:
            sums = self._sums[pair]
            again_bytes += retransmitted.get(_flow_of(pair), 0)
            payload_bytes += sums.payload_bytes
            frame_bytes += sums.frame_bytes
            packets += sums.packets
        return Counted(payload_bytes - again_bytes, again_bytes, frame_bytes, packets)


def _matches(batch: SegmentBatch, pair: SocketPair) -> NDArray[np.bool_]:
    """Which segments were sent from the pair's local to its remote end."""
    matches: NDArray[np.bool_] = (
        (batch.src_port == pair.local_port)
        & (batch.dst_port == pair.remote_port)
        & (batch.src_ip == packed_ip(pair.local_ip))
        & (batch.dst_ip == packed_ip(pair.remote_ip))
    )
    return matches


def _at_ports(batch: SegmentBatch, ports: NDArray[np.int64]) -> NDArray[np.bool_]:
    at_ports: NDArray[np.bool_] = np.isin(batch.src_port, ports) | np.isin(batch.dst_port, ports)
    return at_ports


def _pair_at(batch: SegmentBatch, index: int) -> SocketPair:
    return SocketPair(
        unpacked_ip(batch.src_ip[index]),
        int(batch.src_port[index]),
        unpacked_ip(batch.dst_ip[index]),
        int(batch.dst_port[index]),
    )


def _only(batch: SegmentBatch, chosen: NDArray[np.bool_]) -> SegmentBatch:
    columns: dict[str, Any] = {
        name: values[chosen]
        for name, values in vars(batch).items()
        if isinstance(values, np.ndarray)
    }
    return replace(batch, **columns)


def _flow_of(pair: SocketPair) -> Flow:
    return Flow(
        packed_ip(pair.local_ip).tobytes(),
        pair.local_port,
        packed_ip(pair.remote_ip).tobytes(),
        pair.remote_port,
    )
