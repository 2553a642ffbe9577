"""Exchanges that are captured: bytes on the wire, and what capturing costs."""

import os
import random
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from semgap.linkbench.contenders.contender import ACKNOWLEDGEMENT_BYTES, Link
from semgap.linkbench.contenders.payload import Payload
from semgap.linkbench.samples import WireSample
from semgap.measurement.tcpdump import CaptureUnavailableError, capture
from semgap.pcap.reader import read_segments
from semgap.pcap.traffic_window import TrafficWindow
from semgap.plumbing.connections import reverse_of
from semgap.plumbing.process_sockets import sockets_of

_SIZES_BYTES = (1_000, 64_000, 1_000_000, 64_000_000)
# After a first one, which finds both sides asleep.
_MESSAGES = 3
_QUIET_S = 0.05


class _Exchange(NamedTuple):
    contender: str
    payload_bytes: int
    round: int
    seconds: float
    window: TrafficWindow


def captured_exchanges(
    links: Mapping[str, Link], payload: Payload, rounds: int, interface: str, scratch: Path
) -> tuple[list[WireSample], str]:
    """Exchange messages under a capture of the interface, the contenders taking turns.

    Args:
        scratch: a folder for the capture, which is not kept.

    Returns:
        A sample for each turn, or none and the reason why nothing can be captured.
    """
    seen = sockets_of(os.getpid()).connections
    pairs = frozenset((*seen, *map(reverse_of, seen)))
    order = random.Random(0)
    exchanges: list[_Exchange] = []
    with TemporaryDirectory(dir=scratch) as folder:
        file = Path(folder) / "wire.pcap"
        try:
            with capture(interface, file) as running:
                for index in range(rounds):
                    for size_bytes in _SIZES_BYTES:
                        if size_bytes > payload.size_bytes:
                            continue
                        message = payload.message(size_bytes)
                        for name, link in order.sample(list(links.items()), len(links)):
                            time.sleep(_QUIET_S)
                            begin_ns = time.time_ns()
                            link.exchange(message, ACKNOWLEDGEMENT_BYTES)
                            begin_s = time.perf_counter()
                            for _ in range(_MESSAGES):
                                link.exchange(message, ACKNOWLEDGEMENT_BYTES)
                            taken_s = (time.perf_counter() - begin_s) / _MESSAGES
                            time.sleep(_QUIET_S)
                            window = TrafficWindow(begin_ns, time.time_ns(), pairs)
                            exchanges.append(_Exchange(name, size_bytes, index, taken_s, window))
                running.stop()
        except CaptureUnavailableError as error:
            return [], error.cause
        for segments in read_segments(file):
            for exchange in exchanges:
                exchange.window.add(segments)
    return [
        WireSample(
            exchange.contender,
            exchange.payload_bytes,
            ACKNOWLEDGEMENT_BYTES,
            exchange.round,
            exchange.seconds,
            exchange.window.count(pairs).payload_bytes / (1 + _MESSAGES),
        )
        for exchange in exchanges
    ], ""
