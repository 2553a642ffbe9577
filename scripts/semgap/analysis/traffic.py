"""Bytes of each phase and direction, from a run's capture or, without one, from its transport."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from semgap.errors import CaptureError
from semgap.inference.steps import StepRecord
from semgap.measurement.probe import ProbeTraffic
from semgap.measurement.run_record import PhaseRecord, RunRecord
from semgap.pcap.reader import read_segments
from semgap.pcap.traffic_window import Counted, TrafficWindow
from semgap.plumbing.connections import reverse_of, session_connections
from semgap.policy import WorkerPlace

UP = "up"
DOWN = "down"

_END_OF_TIME_NS = 1 << 62


class TrafficRow(msgspec.Struct, frozen=True):
    """What crossed in one direction during one phase."""

    phase: str
    direction: str  # up (client to worker) or down
    # tcpdump; where nothing was captured, transport, or in process where nothing can have crossed
    source: str
    payload_bytes: int  # TCP payload, each byte once; from the transport, content of the tensors
    retransmitted_bytes: int | None  # TCP payload that was sent again; empty from the transport
    frame_bytes: int | None  # whole frames as captured, headers included; empty from the transport
    packets: int | None  # captured packets; empty from the transport


def traffic_of_run(record: RunRecord, capture_file: Path) -> list[TrafficRow]:
    """Count what a run moved.

    Raises:
        CaptureError: the capture cannot be read, is cut off, lacks what was sent on purpose, shows
            somebody else at the session's ports, or other bytes than the tensors explain.
    """
    in_process = record.policy.worker is WorkerPlace.IN_PROCESS
    if not record.capture.captured:
        by_transport = _in_process if in_process else _by_transport
        return [row for phase in record.phases for row in by_transport(phase)]
    upward = frozenset(record.client_sockets)
    if not in_process:
        upward = session_connections(record.client_sockets, record.worker_sockets)
    downward = frozenset(map(reverse_of, upward))
    ports = record.listening_ports
    phases = [
        (phase, TrafficWindow(phase.begin_unix_ns, phase.end_unix_ns, upward | downward, ports))
        for phase in record.phases
    ]
    probes = TrafficWindow(0, _END_OF_TIME_NS, {sent.socket for sent in record.probes})
    packets = 0
    for segments in read_segments(capture_file):
        packets += segments.time_ns.size
        for window in (probes, *(window for _, window in phases)):
            window.add(segments)
    if packets != record.capture.packets:
        raise CaptureError(
            f"'{capture_file}' holds {packets} packets, but tcpdump wrote {record.capture.packets}:"
            " it was cut off or replaced.",
            _remedy(capture_file),
        )
    for sent in record.probes:
        _check_probe(sent, probes, capture_file)
    for phase, window in phases:
        _check_no_strangers(phase, window, record, capture_file)
        _check_no_fragments(phase, window, record, capture_file)
    rows = [
        _row(phase.name, direction, window.count(pairs))
        for phase, window in phases
        for direction, pairs in ((UP, upward), (DOWN, downward))
    ]
    check_bounds(rows, record, capture_file)
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


def _in_process(phase: PhaseRecord) -> list[TrafficRow]:
    """What is in one process crosses no network."""
    return [
        TrafficRow(phase.name, direction, "in process", 0, None, None, None)
        for direction in (UP, DOWN)
    ]


def _by_transport(phase: PhaseRecord) -> list[TrafficRow]:
    return [
        TrafficRow(phase.name, UP, "transport", tensor_bytes_up(phase.steps), None, None, None),
        TrafficRow(phase.name, DOWN, "transport", tensor_bytes_down(phase.steps), None, None, None),
    ]


def _check_probe(sent: ProbeTraffic, probes: TrafficWindow, capture_file: Path) -> None:
    seen_bytes = probes.count([sent.socket]).payload_bytes
    if seen_bytes != sent.payload_bytes:
        raise CaptureError(
            f"'{capture_file}' shows {seen_bytes} of the {sent.payload_bytes} bytes that were sent "
            "on purpose to test it: it started late, stopped early, or is of another interface.",
            _remedy(capture_file),
        )


def _check_no_strangers(
    phase: PhaseRecord, window: TrafficWindow, record: RunRecord, capture_file: Path
) -> None:
    for pair, payload_bytes in window.foreign_bytes.items():
        raise CaptureError(
            f"'{capture_file}' shows that in the phase {phase.name} of {record.name} somebody else "
            f"used the session's ports: {payload_bytes} bytes from {pair.local_ip}:"
            f"{pair.local_port} to {pair.remote_ip}:{pair.remote_port}.",
            f"Keep other programs away from them. {_remedy(capture_file)}",
        )


def _check_no_fragments(
    phase: PhaseRecord, window: TrafficWindow, record: RunRecord, capture_file: Path
) -> None:
    if window.fragments:
        raise CaptureError(
            f"'{capture_file}' shows {window.fragments} IP fragments between the session's "
            f"addresses in the phase {phase.name} of {record.name}: what they carry cannot be "
            "counted.",
            f"Give both ends and the path one MTU. {_remedy(capture_file)}",
        )


def check_bounds(rows: Iterable[TrafficRow], record: RunRecord, capture_file: Path) -> None:
    """Check that what was captured is what the tensors need, and not much more.

    Raises:
        CaptureError: less crossed than the tensors' content, or more than framing explains.
    """
    in_process = record.policy.worker is WorkerPlace.IN_PROCESS
    captured = {(row.phase, row.direction): row.payload_bytes for row in rows}
    for phase in record.phases:
        for direction, needed_bytes, tensors in (
            (UP, tensor_bytes_up(phase.steps), sum(step.up_tensors for step in phase.steps)),
            (DOWN, tensor_bytes_down(phase.steps), sum(step.down_tensors for step in phase.steps)),
        ):
            least = most = 0
            if not in_process:
                least = needed_bytes
                most = needed_bytes + _framing_limit_bytes(needed_bytes, tensors, len(phase.steps))
            found = captured[phase.name, direction]
            if not least <= found <= most:
                raise CaptureError(
                    f"'{capture_file}' shows {found} bytes {direction} in the phase {phase.name} "
                    f"of {record.name}, but its tensors and their framing take {least} to {most}: "
                    + (
                        "the capture misses packets or connections."
                        if found < least
                        else "something else than the session's tensors was counted."
                    ),
                    _remedy(capture_file),
                )


def _framing_limit_bytes(content_bytes: int, tensors: int, messages: int) -> int:
    """What a transport may need beside the tensors' content.

    PyTorch RPC needs the most: 10.7 KB were seen for a message of 124 tensors.
    """
    return content_bytes // 200 + 2_000 * (messages + 1) + 200 * tensors


def _remedy(capture_file: Path) -> str:
    return f"Delete '{capture_file}' and run again: only that repeat is measured again."
