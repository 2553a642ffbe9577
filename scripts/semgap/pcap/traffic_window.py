"""Counts the traffic of connections within a time window of a capture."""

import ipaddress
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from semgap.pcap.reader import Bools, Integers, Segments
from semgap.plumbing.tcp_sockets import SocketPair

# A TCP sequence number has 32 bits.
_SEQUENCE_NUMBERS = 1 << 32


class Counted(NamedTuple):
    """Traffic of some connections, each in one direction."""

    payload_bytes: int  # TCP payload, each byte once
    retransmitted_bytes: int  # TCP payload that was sent again
    frame_bytes: int  # whole frames as captured, headers included
    packets: int


class FlowBytes:
    """Counts what a flow's segments carry.

    A segment that was only reordered counts in full; a packet that was captured twice counts like
    one that was sent twice, and so does the byte of a keep-alive probe.

    Attributes:
        sent_bytes: payload, what was sent again included.
        frame_bytes: whole frames, headers included.
        packets: segments, with payload or without.
    """

    def __init__(self) -> None:
        self.sent_bytes = self.frame_bytes = self.packets = 0
        self._last_seq: int | None = None
        self._position = 0
        self._seen = np.empty((0, 2), dtype=np.int64)

    @property
    def payload_bytes(self) -> int:
        """Payload, each byte once."""
        return int((self._seen[:, 1] - self._seen[:, 0]).sum())

    def add(self, seq: Integers, payload_bytes: Integers, frame_bytes: Integers) -> Integers:
        """Take in the flow's next segments, in the order of the capture.

        Returns:
            How many bytes of payload each carries that were not there before.
        """
        self.sent_bytes += int(payload_bytes.sum())
        self.frame_bytes += int(frame_bytes.sum())
        self.packets += seq.size
        last = int(seq[0]) if self._last_seq is None else self._last_seq
        # Segments in flight are less than half the sequence space apart (RFC 7323, section 2.2).
        half = _SEQUENCE_NUMBERS // 2
        steps = (np.diff(seq, prepend=last) + half) % _SEQUENCE_NUMBERS - half
        begin = self._position + np.cumsum(steps)
        self._last_seq, self._position = int(seq[-1]), int(begin[-1])
        spans = np.stack([begin, begin + payload_bytes], axis=1)
        new_bytes = np.where(_within(spans, self._seen) | _repeated(spans), 0, payload_bytes)
        carrying = np.flatnonzero(new_bytes)
        spans = spans[carrying]
        highest = self._seen[-1:, 1] if self._seen.size else spans[:1, 0]
        reached = np.maximum.accumulate(np.append(highest, spans[:-1, 1])[: len(spans)])
        taken = 0
        # Others are wholly new. These may have been sent before, in part or split otherwise.
        for late in np.flatnonzero(spans[:, 0] < reached).tolist():
            self._seen = _union(np.concatenate([self._seen, spans[taken:late]]))
            new_bytes[carrying[late]] -= np.diff(np.clip(self._seen, *spans[late])).sum()
            taken = late
        self._seen = _union(np.concatenate([self._seen, spans[taken:]]))
        return new_bytes


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
            chosen = sent_through(segments, pair)
            chosen = chosen[within[chosen]]
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


def sent_through(segments: Segments, pair: SocketPair) -> Integers:
    """Which segments were sent from the pair's local to its remote end."""
    of_ports = (segments.src_port == pair.local_port) & (segments.dst_port == pair.remote_port)
    chosen = np.flatnonzero(of_ports)
    from_local = segments.src_ip[chosen] == np.void(packed_ip(pair.local_ip))
    to_remote = segments.dst_ip[chosen] == np.void(packed_ip(pair.remote_ip))
    matching: Integers = chosen[from_local & to_remote]
    return matching


def pairs_towards(segments: Segments, ports: Iterable[int]) -> set[SocketPair]:
    """The connections whose remote end is at one of some ports, from their local end."""
    towards = np.flatnonzero(np.isin(segments.dst_port, list(ports)))
    ends = zip(
        segments.src_ip[towards].tolist(),
        segments.src_port[towards].tolist(),
        segments.dst_ip[towards].tolist(),
        segments.dst_port[towards].tolist(),
        towards.tolist(),
        strict=True,
    )
    first = {tuple(end): index for *end, index in ends}
    return {_pair_at(segments, index) for index in first.values()}


def _pair_at(segments: Segments, index: int) -> SocketPair:
    return SocketPair(
        _unpacked_ip(segments.src_ip[index]),
        int(segments.src_port[index]),
        _unpacked_ip(segments.dst_ip[index]),
        int(segments.dst_port[index]),
    )


def _within(spans: Integers, others: Integers) -> Bools:
    """Which half-open spans lie in one of others, which are sorted and apart."""
    if others.size == 0:
        return np.zeros(len(spans), dtype=np.bool_)
    at = np.searchsorted(others[:, 0], spans[:, 0], side="right") - 1
    within: Bools = (at >= 0) & (spans[:, 1] <= others[at, 1])
    return within


def _repeated(spans: Integers) -> Bools:
    """Which spans lie in the first one that begins where they do."""
    _begins, first, which = np.unique(spans[:, 0], return_index=True, return_inverse=True)
    earlier = first[which]
    repeated: Bools = (earlier < np.arange(len(spans))) & (spans[:, 1] <= spans[earlier, 1])
    return repeated


def _union(spans: Integers) -> Integers:
    """Half-open spans that overlap or touch, joined; int64 of shape (spans, 2), sorted."""
    if spans.size == 0:
        return spans
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reached = np.maximum.accumulate(spans[:, 1])
    opens = np.append(True, spans[1:, 0] > reached[:-1])
    closes = np.append(opens[1:], True)
    return np.stack([spans[opens, 0], reached[closes]], axis=1)
