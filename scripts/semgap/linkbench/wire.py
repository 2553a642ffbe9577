"""Exchanges that are captured: bytes on the wire, and what capturing costs."""

import os
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from torch import Tensor

from semgap.linkbench.contenders import ACKNOWLEDGEMENT_BYTES, Link
from semgap.linkbench.rates import WireSample
from semgap.measurement.tcpdump import CaptureUnavailableError, capture
from semgap.pcap.reader import read_segments
from semgap.pcap.traffic_window import TrafficWindow
from semgap.plumbing.tcp_sockets import reverse_of, sockets_of

_SIZES_BYTES = (1_000, 64_000, 1_000_000, 64_000_000)
# After a first message, which wakes both sides up.
_MESSAGES = 3
_QUIET_S = 0.05


def captured_exchanges(
    links: Mapping[str, Link],
    message_of: Callable[[int], Tensor],
    largest_bytes: int,
    rounds: int,
    interface: str,
    scratch: Path,
) -> tuple[list[WireSample], str]:
    """Exchange messages under a capture of the interface, the contenders taking turns.

    Args:
        message_of: a message of a size.
        scratch: a folder for the capture, which is not kept.

    Returns:
        A sample for each turn, or none and the reason why nothing can be captured.
    """
    seen = sockets_of(os.getpid()).connections
    pairs = frozenset((*seen, *map(reverse_of, seen)))
    order = random.Random(0)
    turns: list[tuple[WireSample, TrafficWindow]] = []
    with TemporaryDirectory(dir=scratch) as folder:
        file = Path(folder) / "wire.pcap"
        try:
            with capture(interface, file) as running:
                for index in range(rounds):
                    for size_bytes in (size for size in _SIZES_BYTES if size <= largest_bytes):
                        message = message_of(size_bytes)
                        for name, link in order.sample(list(links.items()), len(links)):
                            begin_ns, taken_s = _exchange(link, message)
                            window = TrafficWindow(begin_ns, time.time_ns(), pairs)
                            sizes = (size_bytes, ACKNOWLEDGEMENT_BYTES)
                            turns.append((WireSample(name, *sizes, index, taken_s, 0), window))
                running.stop()
        except CaptureUnavailableError as error:
            return [], error.cause
        for segments in read_segments(file):
            for _, window in turns:
                window.add(segments)
    samples = [
        msgspec.structs.replace(
            sample, wire_bytes=window.count(pairs).payload_bytes / (1 + _MESSAGES)
        )
        for sample, window in turns
    ]
    return samples, ""


def _exchange(link: Link, message: Tensor) -> tuple[int, float]:
    """When it began on the wall clock, quiet before and after, and the mean time of one (s)."""
    time.sleep(_QUIET_S)
    begin_ns = time.time_ns()
    link.exchange(message, ACKNOWLEDGEMENT_BYTES)
    begin_s = time.perf_counter()
    for _ in range(_MESSAGES):
        link.exchange(message, ACKNOWLEDGEMENT_BYTES)
    taken_s = (time.perf_counter() - begin_s) / _MESSAGES
    time.sleep(_QUIET_S)
    return begin_ns, taken_s
