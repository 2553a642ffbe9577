"""What a capture shows of some connections within each of several stretches of time."""

import ipaddress
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from semgap.pcap.flow_bytes import FlowBytes, Integers
from semgap.pcap.reader import Segments
from semgap.plumbing.connections import SocketPair


class Counted(NamedTuple):
    """Traffic of some connections, each in one direction."""

    payload_bytes: int  # TCP payload, each byte once
    retransmitted_bytes: int  # TCP payload that was sent again
    frame_bytes: int  # whole frames as captured, headers included
    packets: int


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
        self._flows = {pair: FlowBytes() for pair in pairs}
        self._ports = np.array(sorted(ports), dtype=np.int64)
        self.foreign_bytes: Counter[SocketPair] = Counter()
        self.fragments = 0

    def add(self, segments: Segments) -> None:
        """Take in the next segments of the capture."""
        within = (segments.time_ns >= self._begin_unix_ns) & (segments.time_ns < self._end_unix_ns)
        if not within.any():
            return
        at_ports = np.isin(segments.src_port, self._ports)
        at_ports |= np.isin(segments.dst_port, self._ports)
        others = within & at_ports & (segments.payload_bytes > 0)
        for pair, flow in self._flows.items():
            chosen = _sent_through(segments, pair, within)
            if chosen.size:
                others[chosen] = False
                flow.add(
                    segments.seq[chosen],
                    segments.payload_bytes[chosen],
                    segments.frame_bytes[chosen],
                )
        for index in np.flatnonzero(others).tolist():
            self.foreign_bytes[_pair_at(segments, index)] += int(segments.payload_bytes[index])
        fragments = np.flatnonzero(within & segments.is_fragment)
        ends = {(packed_ip(pair.local_ip), packed_ip(pair.remote_ip)) for pair in self._flows}
        self.fragments += sum(
            (segments.src_ip[index].tobytes(), segments.dst_ip[index].tobytes()) in ends
            for index in fragments
        )

    def count(self, pairs: Iterable[SocketPair]) -> Counted:
        """The traffic of some of the connections, from their local to their remote ends."""
        flows = [self._flows[pair] for pair in pairs]
        sent_bytes = sum(flow.sent_bytes for flow in flows)
        payload_bytes = sum(flow.payload_bytes for flow in flows)
        return Counted(
            payload_bytes,
            sent_bytes - payload_bytes,
            sum(flow.frame_bytes for flow in flows),
            sum(flow.packets for flow in flows),
        )


def packed_ip(text: str) -> bytes:
    """An address in the form of ``Segments.src_ip``.

    Raises:
        ValueError: ``text`` is no IP address.
    """
    address = ipaddress.ip_address(text)
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def _unpacked_ip(packed: np.void) -> str:
    address = ipaddress.IPv6Address(packed.tobytes())
    return str(address.ipv4_mapped or address)


def _sent_through(segments: Segments, pair: SocketPair, within: np.ndarray) -> Integers:
    """Which segments were sent from the pair's local to its remote end."""
    of_ports = (segments.src_port == pair.local_port) & (segments.dst_port == pair.remote_port)
    chosen = np.flatnonzero(within & of_ports)
    from_local = segments.src_ip[chosen] == np.void(packed_ip(pair.local_ip))
    to_remote = segments.dst_ip[chosen] == np.void(packed_ip(pair.remote_ip))
    matching: Integers = chosen[from_local & to_remote]
    return matching


def _pair_at(segments: Segments, index: int) -> SocketPair:
    return SocketPair(
        _unpacked_ip(segments.src_ip[index]),
        int(segments.src_port[index]),
        _unpacked_ip(segments.dst_ip[index]),
        int(segments.dst_port[index]),
    )
