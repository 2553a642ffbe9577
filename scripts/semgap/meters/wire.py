"""Bytes of each phase and direction, from a run's capture or, without one, from the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from semgap.errors import CaptureError
from semgap.meters.pcap import read_tcp_segments
from semgap.meters.traffic_window import Counted, TrafficWindow, reverse_of
from semgap.records import ControlTraffic, PhaseRecord, RunRecord, SocketPair
from semgap.traffic_rows import DOWN, KERNEL, TCPDUMP, UP, TrafficRow

_END_OF_TIME_NS = 1 << 62


def traffic_of_run(record: RunRecord, capture_file: Path) -> list[TrafficRow]:
    """Count what a run moved.

    Raises:
        CaptureError: the capture cannot be read, is cut off, or lacks what was sent on purpose.
    """
    if not record.capture.captured:
        return [row for phase in record.phases for row in _by_kernel(phase)]
    session = _SocketTable.of_session(record)
    phases = [
        (phase, TrafficWindow(phase.begin_unix_ns, phase.end_unix_ns, session.both))
        for phase in record.phases
    ]
    control = TrafficWindow(0, _END_OF_TIME_NS, {sent.socket for sent in record.control})
    packets = 0
    for batch in read_tcp_segments(capture_file):
        packets += batch.records
        for window in (control, *(window for _, window in phases)):
            window.add(batch)
    if packets != record.capture.packets:
        raise CaptureError(
            f"'{capture_file}' holds {packets} packets, but tcpdump wrote {record.capture.packets}:"
            f" it was cut off or replaced (check capture-complete).",
            _remedy(capture_file),
        )
    for sent in record.control:
        _check_control(sent, control, capture_file)
    return [
        _row(phase.name, direction, window.count(pairs))
        for phase, window in phases
        for direction, pairs in ((UP, session.upward), (DOWN, session.downward))
    ]


def _row(phase: str, direction: str, counted: Counted) -> TrafficRow:
    return TrafficRow(
        phase=phase,
        direction=direction,
        source=TCPDUMP,
        payload_bytes=counted.payload_bytes,
        retransmitted_bytes=counted.retransmitted_bytes,
        frame_bytes=counted.frame_bytes,
        packets=counted.packets,
    )


def _by_kernel(phase: PhaseRecord) -> list[TrafficRow]:
    return [
        TrafficRow(phase.name, UP, KERNEL, phase.socket_up_bytes, None, None, None),
        TrafficRow(phase.name, DOWN, KERNEL, phase.socket_down_bytes, None, None, None),
    ]


@dataclass(frozen=True)
class _SocketTable:
    """The session's connections, as seen in each direction."""

    upward: frozenset[SocketPair]
    downward: frozenset[SocketPair]

    @property
    def both(self) -> frozenset[SocketPair]:
        """All connections, in both directions."""
        return self.upward | self.downward

    @classmethod
    def of_session(cls, record: RunRecord) -> _SocketTable:
        """All connections of both processes, less those a process has with itself."""
        if record.transport == "in_process":
            pairs = frozenset(record.client_sockets)
            return cls(pairs, frozenset(map(reverse_of, pairs)))
        client = set(record.client_sockets)
        worker = set(record.worker_sockets)
        upward = {pair for pair in client if reverse_of(pair) not in client}
        upward |= {reverse_of(pair) for pair in worker if reverse_of(pair) not in worker}
        return cls(frozenset(upward), frozenset(map(reverse_of, upward)))


def _check_control(sent: ControlTraffic, control: TrafficWindow, capture_file: Path) -> None:
    seen_bytes = control.count([sent.socket]).payload_bytes
    if seen_bytes != sent.payload_bytes:
        raise CaptureError(
            f"'{capture_file}' shows {seen_bytes} of the {sent.payload_bytes} bytes that were sent "
            "on purpose to test it: it started late, stopped early, or is of another interface "
            f"(check capture-control).",
            _remedy(capture_file),
        )


def _remedy(capture_file: Path) -> str:
    return f"Delete '{capture_file}' and run again: only that repeat is measured again."
