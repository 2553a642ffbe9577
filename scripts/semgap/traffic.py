"""Bytes of each phase and direction, from a run's capture or, without one, from its transport."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from semgap.errors import CaptureError
from semgap.meters.pcap import SegmentBatch, packed_ip, read_tcp_segments
from semgap.records import PhaseRecord, RunRecord, SocketPair, StepRecord

UP = "up"
DOWN = "down"
OTHER = "other"


class TrafficRow(msgspec.Struct, frozen=True):
    """What crossed in one direction during one phase.

    Attributes:
        direction: up (client to worker), down, or other: TCP traffic of other processes on the
            same interface at the same time, which no other number contains.
        source: tcpdump, or transport where nothing was captured.
        payload_bytes: TCP payload; from the transport, content of the tensors alone.
        frame_bytes: whole frames as captured, headers included; empty from the transport.
        packets: captured packets; empty from the transport.
    """

    phase: str
    direction: str
    source: str
    payload_bytes: int
    frame_bytes: int | None
    packets: int | None


@dataclass
class _Sums:
    payload_bytes: int = 0
    frame_bytes: int = 0
    packets: int = 0


def traffic_of_run(record: RunRecord, capture_file: Path) -> list[TrafficRow]:
    """Count what a run moved.

    Raises:
        CaptureError: the capture cannot be read, is cut off, lacks what was sent on purpose, or
            shows less than the tensors that crossed.
    """
    if not record.capture.captured:
        return [row for phase in record.phases for row in _by_transport(phase)]
    sums, control_bytes, packets = _count(read_tcp_segments(capture_file), record)
    if packets != record.capture.packets:
        raise CaptureError(
            f"'{capture_file}' holds {packets} packets, but tcpdump wrote {record.capture.packets}:"
            " it was cut off or replaced.",
            _remedy(capture_file),
        )
    for control in record.control:
        seen = control_bytes[control.socket]
        if seen != control.payload_bytes:
            raise CaptureError(
                f"'{capture_file}' shows {seen} of the {control.payload_bytes} bytes that were "
                "sent on purpose to test it: it started late, stopped early, or is of another "
                "interface.",
                _remedy(capture_file),
            )
    rows = [
        TrafficRow(
            phase.name,
            direction,
            "tcpdump",
            sums[phase.name, direction].payload_bytes,
            sums[phase.name, direction].frame_bytes,
            sums[phase.name, direction].packets,
        )
        for phase in record.phases
        for direction in (UP, DOWN, OTHER)
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
        TrafficRow(phase.name, UP, "transport", tensor_bytes_up(phase.steps), None, None),
        TrafficRow(phase.name, DOWN, "transport", tensor_bytes_down(phase.steps), None, None),
    ]


def _count(
    batches: Iterable[SegmentBatch], record: RunRecord
) -> tuple[dict[tuple[str, str], _Sums], dict[SocketPair, int], int]:
    """Sums by phase and direction, bytes of the control traffic, and the number of packets."""
    session = _SocketTable.of_session(record)
    sums: dict[tuple[str, str], _Sums] = defaultdict(_Sums)
    control_bytes: dict[SocketPair, int] = defaultdict(int)
    packets = 0
    for batch in batches:
        packets += batch.records
        direction = session.directions(batch)
        for control in record.control:
            sent = _matches(batch, control.socket)
            control_bytes[control.socket] += int(batch.payload_bytes[sent].sum())
        for phase in record.phases:
            during = (batch.time_ns >= phase.begin_unix_ns) & (batch.time_ns < phase.end_unix_ns)
            for name in (UP, DOWN, OTHER):
                chosen = during & (direction == name)
                total = sums[phase.name, name]
                total.payload_bytes += int(batch.payload_bytes[chosen].sum())
                total.frame_bytes += int(batch.frame_bytes[chosen].sum())
                total.packets += int(chosen.sum())
    return sums, control_bytes, packets


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

    def directions(self, batch: SegmentBatch) -> np.ndarray:
        """For each segment of a batch: up, down or other."""
        direction = np.full(len(batch.time_ns), OTHER, dtype="U5")
        for name, pairs in ((UP, self.upward), (DOWN, self.downward)):
            for pair in pairs:
                direction[_matches(batch, pair)] = name
        return direction


def _matches(batch: SegmentBatch, pair: SocketPair) -> np.ndarray:
    """Which segments were sent from the pair's local to its remote end."""
    ports = (batch.src_port == pair.local_port) & (batch.dst_port == pair.remote_port)
    return (
        ports
        & (batch.src_ip == packed_ip(pair.local_ip))
        & (batch.dst_ip == packed_ip(pair.remote_ip))
    )


def _reversed(pair: SocketPair) -> SocketPair:
    return SocketPair(pair.remote_ip, pair.remote_port, pair.local_ip, pair.local_port)


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
