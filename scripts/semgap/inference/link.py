"""What the link between client and worker does to requests that make the worker do nothing."""

import time
from collections.abc import Callable
from statistics import median

import torch

from semgap import protocol
from semgap.inference.steps import LinkSeen
from semgap.plumbing.clocks import Offset, RoundTrip, offset_of
from semgap.policy import TensorClass
from semgap.transport import Channel, RequestMessage

# The quickest of so many finds both sides awake.
_ROUND_TRIPS = 50
# Content grows until it takes long enough to be timed, or is as large as a message of setup.
_LEAST_BYTES, _GROWTH, _MOST_BYTES = 1_000_000, 4, 64_000_000
_ENOUGH_S = 0.1
_TRIES = 3


def measure_offset(channel: Channel) -> Offset:
    """Bound how far the worker's monotonic clock is ahead."""
    return offset_of(_ping(channel) for _ in range(_ROUND_TRIPS))


def measure_link(channel: Channel) -> LinkSeen:
    """Time empty requests, then messages with content in one direction each."""
    empty_s = [_round_trip_s(_ping(channel)) for _ in range(_ROUND_TRIPS)]
    least_s = min(empty_s)
    return LinkSeen(
        round_trip_s=median(empty_s),
        least_round_trip_s=least_s,
        up_bytes_per_s=_goodput(lambda size: _round_trip_s(_ping(channel, size)), least_s),
        down_bytes_per_s=_goodput(lambda size: _round_trip_s(_ping(channel, 0, size)), least_s),
    )


def _goodput(time_s: Callable[[int], float], round_trip_s: float) -> float:
    """Content per second of ever larger messages, of which ``time_s`` times one of a size."""
    size_bytes = _LEAST_BYTES
    while True:
        taken_s = min(time_s(size_bytes) for _ in range(_TRIES))
        if taken_s >= _ENOUGH_S or size_bytes >= _MOST_BYTES:
            return size_bytes / max(taken_s - round_trip_s, 1e-9)
        size_bytes = min(_GROWTH * size_bytes, _MOST_BYTES)


def _round_trip_s(trip: RoundTrip) -> float:
    return (trip.arrived - trip.sent) / 1e9


def _ping(channel: Channel, up_bytes: int = 0, down_bytes: int = 0) -> RoundTrip:
    content = {TensorClass.KV_CACHE: [torch.zeros(up_bytes, dtype=torch.uint8)]}
    reply = channel.request(RequestMessage(protocol.Ping(down_bytes), content if up_bytes else {}))
    arrived_ns = time.monotonic_ns()
    assert isinstance(reply.header, protocol.Done), "a worker always answers this"
    return RoundTrip(reply.serialised_ns, reply.header.received_ns, reply.departing_ns, arrived_ns)
