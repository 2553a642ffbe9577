"""Bytes of each phase and direction, from a run's capture or, without one, from its transport."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from semgap.errors import CaptureError
from semgap.meters.pcap import SegmentBatch, packed_ip, read_tcp_segments
from semgap.meters.retransmissions import Flow, RetransmissionCounter
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


@dataclass
class _Sums:
    payload_bytes: int = 0
    frame_bytes: int = 0
    packets: int = 0


class _Window:
    """Counts what was captured of some connections between two instants."""

    def __init__(self, begin_unix_ns: int, end_unix_ns: int, pairs: Iterable[SocketPair]) -> None:
        self._begin_unix_ns = begin_unix_ns
        self._end_unix_ns = end_unix_ns
        self._sums = {pair: _Sums() for pair in pairs}
        self._retransmissions = RetransmissionCounter()

    def add(self, batch: SegmentBatch) -> None:
        """Take in the next batch of the capture."""
        during = (batch.time_ns >= self._begin_unix_ns) & (batch.time_ns < self._end_unix_ns)
        for pair, sums in self._sums.items():
            chosen = during & _matches(batch, pair)
            sums.payload_bytes += int(batch.payload_bytes[chosen].sum())
            sums.frame_bytes += int(batch.frame_bytes[chosen].sum())
            sums.packets += int(chosen.sum())
            self._retransmissions.add(_only(batch, chosen))

    def row(self, phase: str, direction: str, pairs: Iterable[SocketPair]) -> TrafficRow:
        """The traffic of some of the connections."""
        retransmitted = self._retransmissions.retransmitted_bytes()
        again_bytes = payload_bytes = frame_bytes = packets = 0
        for pair in pairs:
            sums = self._sums[pair]
            again_bytes += retransmitted.get(_flow_of(pair), 0)
            payload_bytes += sums.payload_bytes
            frame_bytes += sums.frame_bytes
            packets += sums.packets
        return TrafficRow(
            phase=phase,
            direction=direction,
            source="tcpdump",
            payload_bytes=payload_bytes - again_bytes,
            retransmitted_bytes=again_bytes,
            frame_bytes=frame_bytes,
            packets=packets,
        )


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
        (phase, _Window(phase.begin_unix_ns, phase.end_unix_ns, session.upward | session.downward))
        for phase in record.phases
    ]
    control = _Window(0, _END_OF_TIME_NS, {sent.socket for sent in record.control})
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
        window.row(phase.name, direction, pairs)
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

    @classmethod
    def of_session(cls, record: RunRecord) -> _SocketTable:
        """All connections of both processes, less those a process has with itself."""
        if record.transport == "in_process":
            pairs = frozenset(record.client_sockets)
            return cls(pairs, frozenset(map(_reversed, pairs)))
        client = set(record.client_sockets)
        worker = set(record.worker_sockets)
        upward = {pair for pair in client if _reversed(pair) not in client}
        upward |= {_reversed(pair) for pair in worker if _reversed(pair) not in worker}
        return cls(frozenset(upward), frozenset(map(_reversed, upward)))


def _matches(batch: SegmentBatch, pair: SocketPair) -> NDArray[np.bool_]:
    """Which segments were sent from the pair's local to its remote end."""
    matches: NDArray[np.bool_] = (
        (batch.src_port == pair.local_port)
        & (batch.dst_port == pair.remote_port)
        & (batch.src_ip == packed_ip(pair.local_ip))
        & (batch.dst_ip == packed_ip(pair.remote_ip))
    )
    return matches


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


def _reversed(pair: SocketPair) -> SocketPair:
    return SocketPair(pair.remote_ip, pair.remote_port, pair.local_ip, pair.local_port)


def _check_control(sent: ControlTraffic, control: _Window, capture_file: Path) -> None:
    seen_bytes = control.row("control", UP, [sent.socket]).payload_bytes
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
