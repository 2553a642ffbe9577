"""Bytes of each phase and direction, from a run's capture or, without one, from its transport."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from semgap.errors import CaptureError
from semgap.meters.pcap import SegmentBatch, packed_ip, read_tcp_segments
from semgap.meters.retransmission import first_transmission_bytes
from semgap.records import PhaseRecord, RunRecord, SocketPair, StepRecord

UP = "up"
DOWN = "down"


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


@dataclass(frozen=True)
class _Flow:
    """What was captured of one direction of one connection, in the order of capture."""

    time_ns: NDArray[np.int64]
    first_bytes: NDArray[np.int64]
    payload_bytes: NDArray[np.int64]
    frame_bytes: NDArray[np.int64]


def traffic_of_run(record: RunRecord, capture_file: Path) -> list[TrafficRow]:
    """Count what a run moved.

    Raises:
        CaptureError: the capture cannot be read, is cut off, lacks what was sent on purpose, or
            shows less than the tensors that crossed.
    """
    if not record.capture.captured:
        return [row for phase in record.phases for row in _by_transport(phase)]
    session = _SocketTable.of_session(record)
    controls = frozenset(control.socket for control in record.control)
    flows, packets = _collect(
        read_tcp_segments(capture_file), session.upward | session.downward | controls
    )
    if packets != record.capture.packets:
        raise CaptureError(
            f"'{capture_file}' holds {packets} packets, but tcpdump wrote {record.capture.packets}:"
            " it was cut off or replaced.",
            _remedy(capture_file),
        )
    for control in record.control:
        seen = int(flows[control.socket].first_bytes.sum())
        if seen != control.payload_bytes:
            raise CaptureError(
                f"'{capture_file}' shows {seen} of the {control.payload_bytes} bytes that were "
                "sent on purpose to test it: it started late, stopped early, or is of another "
                "interface.",
                _remedy(capture_file),
            )
    up = [flows[pair] for pair in session.upward]
    down = [flows[pair] for pair in session.downward]
    rows = [
        _row(phase, direction, group)
        for phase in record.phases
        for direction, group in ((UP, up), (DOWN, down))
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


def _row(phase: PhaseRecord, direction: str, flows: Iterable[_Flow]) -> TrafficRow:
    first_bytes = payload_bytes = frame_bytes = packets = 0
    for flow in flows:
        during = (flow.time_ns >= phase.begin_unix_ns) & (flow.time_ns < phase.end_unix_ns)
        first_bytes += int(flow.first_bytes[during].sum())
        payload_bytes += int(flow.payload_bytes[during].sum())
        frame_bytes += int(flow.frame_bytes[during].sum())
        packets += int(during.sum())
    return TrafficRow(
        phase=phase.name,
        direction=direction,
        source="tcpdump",
        payload_bytes=first_bytes,
        retransmitted_bytes=payload_bytes - first_bytes,
        frame_bytes=frame_bytes,
        packets=packets,
    )


def _collect(
    batches: Iterable[SegmentBatch], pairs: frozenset[SocketPair]
) -> tuple[dict[SocketPair, _Flow], int]:
    """The segments of the given connections and directions, and the number of all packets.

    Memory grows with the segments of these connections, about 40 bytes each.
    """
    columns: dict[SocketPair, list[SegmentBatch]] = {pair: [] for pair in pairs}
    packets = 0
    for batch in batches:
        packets += batch.records
        for pair, parts in columns.items():
            parts.append(batch.only(_matches(batch, pair)))
    return {pair: _flow_of(parts) for pair, parts in columns.items()}, packets


def _flow_of(parts: Sequence[SegmentBatch]) -> _Flow:
    payload_bytes = np.concatenate([part.payload_bytes for part in parts])
    sequence = np.concatenate([part.sequence for part in parts])
    return _Flow(
        time_ns=np.concatenate([part.time_ns for part in parts]),
        first_bytes=first_transmission_bytes(sequence, payload_bytes),
        payload_bytes=payload_bytes,
        frame_bytes=np.concatenate([part.frame_bytes for part in parts]),
    )


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
