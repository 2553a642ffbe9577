"""Bytes of each phase and direction, from a run's capture or, without one, from its transport."""

from pathlib import Path

import msgspec

from semgap.errors import CaptureError
from semgap.measurement.run_record import RunRecord
from semgap.pcap.reader import read_segments
from semgap.pcap.traffic_window import TrafficWindow, pairs_towards
from semgap.pcap.turns import DOWN, UP, Turn, Turns
from semgap.plumbing.tcp_sockets import SocketPair, reverse_of, session_connections
from semgap.policy import WorkerPlace

_END_OF_TIME_NS = 1 << 62


class TrafficRow(msgspec.Struct, frozen=True):
    """What crossed in one direction during one phase."""

    phase: str
    direction: str  # up (client to worker) or down
    # tcpdump; without a capture transport, or in process where nothing can cross
    source: str
    payload_bytes: int  # TCP payload, each byte once; from the transport, content of the tensors
    # What only a capture shows.
    retransmitted_bytes: int | None = None  # TCP payload that was sent again
    frame_bytes: int | None = None  # whole frames as captured, headers included
    packets: int | None = None


def traffic_of_run(record: RunRecord, capture_file: Path) -> list[TrafficRow]:
    """Count what a run moved.

    Raises:
        CaptureError: the capture cannot be read, is cut off, lacks what was sent on purpose, or
            shows somebody else at the session's ports.
    """
    in_process = record.policy.worker is WorkerPlace.IN_PROCESS
    if not record.capture.captured:
        source = "in process" if in_process else "transport"
        return [
            TrafficRow(phase.name, direction, source, 0 if in_process else sum(content_bytes))
            for phase in record.phases
            for direction, content_bytes in (
                (UP, (step.crossed_up_bytes for step in phase.steps)),
                (DOWN, (step.crossed_down_bytes for step in phase.steps)),
            )
        ]
    upward = _upward(record, capture_file)
    downward = frozenset(map(reverse_of, upward))
    watched = upward | downward | _with_themselves(record)
    ports = record.listening_ports
    phases = {
        phase.name: TrafficWindow(phase.begin_unix_ns, phase.end_unix_ns, watched, ports)
        for phase in record.phases
    }
    probes = TrafficWindow(0, _END_OF_TIME_NS, {sent.socket for sent in record.probes})
    packets = 0
    for segments in read_segments(capture_file):
        packets += segments.time_ns.size
        for window in (probes, *phases.values()):
            window.add(segments)
    if packets != record.capture.packets:
        raise _unusable(
            capture_file,
            f"holds {packets} packets, but tcpdump wrote {record.capture.packets}: it was cut off "
            "or replaced.",
        )
    for sent in record.probes:
        seen_bytes = probes.count([sent.socket]).payload_bytes
        if seen_bytes != sent.payload_bytes:
            raise _unusable(
                capture_file,
                f"shows {seen_bytes} of the {sent.payload_bytes} bytes that were sent on purpose "
                "to test it: it started late, stopped early, or "
                f"'{record.capture.interface}' does not carry what this machine sends to itself, "
                "as 'lo' and 'any' do (capture.interface).",
            )
    for name, window in phases.items():
        _check_window(window, f"in the phase {name} of {record.name}", capture_file)
    return [
        TrafficRow(name, direction, "tcpdump", *window.count(pairs))
        for name, window in phases.items()
        for direction, pairs in ((UP, upward), (DOWN, downward))
    ]


def turns_of_run(record: RunRecord, capture_file: Path) -> list[Turn]:
    """Who spoke when in a run's session; nothing where nothing was captured.

    Raises:
        CaptureError: the capture cannot be read.
    """
    if not record.capture.captured:
        return []
    turns = Turns(_upward(record, capture_file))
    for segments in read_segments(capture_file):
        turns.add(segments)
    return turns.found()


def _upward(record: RunRecord, capture_file: Path) -> frozenset[SocketPair]:
    """The session's connections as the client sees them; in one process, all that it has."""
    if record.policy.worker is WorkerPlace.IN_PROCESS:
        return frozenset(record.client_sockets)
    known = session_connections(record.client_sockets, record.worker_sockets)
    if not record.served_ports:
        return known
    # The kernel's lists, before and after a phase, lack what came and went within it.
    back = frozenset(record.listening_ports).difference(record.served_ports)
    brief: set[SocketPair] = set()
    for segments in read_segments(capture_file):
        brief |= pairs_towards(segments, record.served_ports)
        brief |= set(map(reverse_of, pairs_towards(segments, back)))
    return known | (brief - _with_themselves(record))


def _with_themselves(record: RunRecord) -> frozenset[SocketPair]:
    """Both ends of connections that a program of somebody else's has with itself."""
    if not record.served_ports:
        return frozenset()
    return frozenset(
        pair
        for sockets in (frozenset(record.client_sockets), frozenset(record.worker_sockets))
        for pair in sockets
        if reverse_of(pair) in sockets
    )


def _check_window(window: TrafficWindow, when: str, capture_file: Path) -> None:
    for pair, payload_bytes in window.foreign_bytes.items():
        raise _unusable(
            capture_file,
            f"shows that {when} somebody else used the session's ports: {payload_bytes} bytes from "
            f"{pair.local_ip}:{pair.local_port} to {pair.remote_ip}:{pair.remote_port}.",
            "Keep other programs away from them. ",
        )
    if window.fragments:
        raise _unusable(
            capture_file,
            f"shows {window.fragments} IP fragments between the session's addresses {when}: what "
            "they carry cannot be counted.",
            "Give both ends and the path one MTU. ",
        )


def _unusable(capture_file: Path, what: str, first: str = "") -> CaptureError:
    return CaptureError(
        f"'{capture_file}' {what}",
        f"{first}Delete '{capture_file}' and run again: only that repeat is measured again.",
    )
