"""Bytes of each phase and direction, from a run's capture or, without one, from its transport."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from semgap.errors import CaptureError
from semgap.meters.pcap import read_tcp_segments
from semgap.meters.traffic_window import Counted, TrafficWindow, reverse_of
from semgap.records import ControlTraffic, PhaseRecord, RunRecord, SocketPair, StepRecord

UP = "up"
DOWN = "down"

_END_OF_TIME_NS = 1 << 62


class TrafficRow(msgspec.Struct, frozen=True):
    """What crossed in one direction during one phase.

    Attributes:
        direction: up (client to worker) or down.
        source: tcpdump, or transport where nothing was captured.
        payload_bytes: TCP payload, each byte once; from the transport, content of the tensors.
        retransmitted_bytes: TCP payload that was sent again; empty from the transport.
        frame_bytes: whole frames as captured, headers included; empty from the transport.
        packets: captured packets; empty from the transport.
    """

    phase: str
    direction: str
    source: str
    payload_bytes: int
    retransmitted_bytes: int | None
    frame_bytes: int | None
    packets: int | None


def traffic_of_run(record: RunRecord, capture_file: Path) -> list[TrafficRow]:
    """Count what a run moved.

    Raises:
        CaptureError: the capture cannot be read, is cut off, lacks what was sent on purpose, or
            shows less than the tensors that crossed.
    """
    if not record.capture.captured:
        return [row for phase in record.phases for row in _by_transport(phase)]
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
            " it was cut off or replaced.",
            _remedy(capture_file),
        )
    for sent in record.control:
        _check_control(sent, control, capture_file)
    rows = [
        _row(phase.name, direction, window.count(pairs))
        for phase, window in phases
        for direction, pairs in ((UP, session.upward), (DOWN, session.downward))
    ]
    if record.transport != "in_process":
        _check_not_below_tensors(rows, record, capture_file)
    return rows


def tensor_bytes_up(steps: Iterable[StepRecord]) -> int:
    """Content of all tensors that the client sent in these steps."""
    return sum(sum(step.up_bytes.values()) for step in steps)


def tensor_bytes_down(steps: Iterable[StepRecord]) -> int:
    """Content of all tensors that the client received in these steps."""
    return sum(sum(step.down_bytes.values()) for step in steps)


def _row(phase: str, direction: str, counted: Counted) -> TrafficRow:
    return TrafficRow(
        phase=phase,
        direction=direction,
        source="tcpdump",
        payload_bytes=counted.payload_bytes,
        retransmitted_bytes=counted.retransmitted_bytes,
        frame_bytes=counted.frame_bytes,
        packets=counted.packets,
    )


def _by_transport(phase: PhaseRecord) -> list[TrafficRow]:
    return [
        TrafficRow(phase.name, UP, "transport", tensor_bytes_up(phase.steps), None, None, None),
        TrafficRow(phase.name, DOWN, "transport", tensor_bytes_down(phase.steps), None, None, None),
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
            "on purpose to test it: it started late, stopped early, or is of another interface.",
            _remedy(capture_file),
        )


def _check_not_below_tensors(
    rows: Iterable[TrafficRow], record: RunRecord, capture_file: Path
) -> None:
    captured = {(row.phase, row.direction): row.payload_bytes for row in rows}
    for phase in record.phases:
        for direction, needed in (
            (UP, tensor_bytes_up(phase.steps)),
            (DOWN, tensor_bytes_down(phase.steps)),
        ):
            if captured[phase.name, direction] < needed:
                raise CaptureError(
                    f"'{capture_file}' shows {captured[phase.name, direction]} bytes {direction} "
                    f"in the phase {phase.name}, but tensors of {needed} bytes crossed: the "
                    "capture misses packets or connections.",
                    _remedy(capture_file),
                )


def _remedy(capture_file: Path) -> str:
    return f"Delete '{capture_file}' and run again: only that repeat is measured again."
