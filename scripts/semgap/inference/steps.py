"""What one request and its reply took, and what the link did to those that carried nothing."""

import math
import time
from collections import Counter
from collections.abc import Sequence

import msgspec
from msgspec import structs

from semgap.policy import TensorClass
from semgap.protocol import Encoded

SPANS = (
    *("placement_s", "serialise_s", "send_s", "host_to_device_s"),
    *("queue_s", "worker_s", "device_to_host_s", "receive_s"),
)
_TRANSFER = ("serialise_s", "send_s", "host_to_device_s", "device_to_host_s", "receive_s")


class StepRecord(msgspec.Struct, frozen=True):
    """One step, timed by the client: a request and its reply, or several of them.

    The latency is from the first tensor that a placement is asked for to the last that it joined.
    The spans in ``SPANS`` tile it; the copies to and from the worker's device are counted as far as
    they do not overlap with the network.
    """

    latency_s: float
    # the client's own work before, between and after its exchanges: placements, an encoding, what
    # decides upon the next request
    placement_s: float
    serialise_s: float  # until the client's transport had serialised the request
    send_s: float  # until the whole request was in the memory of the worker's host
    host_to_device_s: float  # until the request's tensors were on the device
    queue_s: float  # until the worker's handler began
    worker_s: float  # the worker's handler, of which compute_s is the forward pass
    compute_s: float
    device_to_host_s: float  # until the first of the reply was in the memory of the worker's host
    receive_s: float  # until the client had the reply
    up_bytes: dict[TensorClass, int]  # content of the tensors sent
    down_bytes: dict[TensorClass, int]  # content of the tensors received
    up_tensors: int  # number of tensors sent
    down_tensors: int  # number of tensors received
    # the client's monotonic clock as the step began; 0 in records without it
    begin_ns: int = 0
    requests: int = 1
    round_trips: int = 1  # requests whose reply the client waited for
    encoded: Encoded | None = None  # what crossed in place of the tensors, if something else did

    @property
    def crossed_up_bytes(self) -> int:
        """What was sent: the content, or what stood for it."""
        return self.encoded.up_bytes if self.encoded else self.total_up_bytes

    @property
    def crossed_down_bytes(self) -> int:
        """What was received: the content, or what stood for it."""
        return self.encoded.down_bytes if self.encoded else self.total_down_bytes

    @property
    def encoding_s(self) -> float:
        """Of the placements' time, that of the client's end of an encoding."""
        return self.encoded.encode_s + self.encoded.decode_s if self.encoded else 0.0

    @property
    def spans_s(self) -> dict[str, float]:
        """The spans that tile the latency, by name, in the order of time."""
        return {name: getattr(self, name) for name in SPANS}

    @property
    def transfer_s(self) -> float:
        """From the first byte serialised until the reply is there, apart from the worker's part."""
        return math.fsum(getattr(self, name) for name in _TRANSFER)

    @property
    def total_up_bytes(self) -> int:
        """Content of all tensors sent."""
        return sum(self.up_bytes.values())

    @property
    def total_down_bytes(self) -> int:
        """Content of all tensors received."""
        return sum(self.down_bytes.values())


def joined(exchanges: Sequence[StepRecord], begin_ns: int) -> StepRecord:
    """A step that ends now, of exchanges of which each waited for the one before.

    Args:
        begin_ns: the client's monotonic clock when the step began.
    """
    first = exchanges[0]
    sums = {
        name: math.fsum(getattr(one, name) for one in exchanges)
        for name in (*SPANS, "compute_s", "latency_s")
    }
    counts = {
        name: sum(getattr(one, name) for one in exchanges)
        for name in ("up_tensors", "down_tensors", "requests", "round_trips")
    }
    up_bytes, down_bytes = Counter[TensorClass](), Counter[TensorClass]()
    for one in exchanges:
        if one.up_bytes:
            up_bytes.update(one.up_bytes)
        if one.down_bytes:
            down_bytes.update(one.down_bytes)
    latency_s = (time.monotonic_ns() - begin_ns) / 1e9
    sums["placement_s"] += latency_s - sums["latency_s"]
    return structs.replace(
        first,
        **{**sums, **counts, "latency_s": latency_s, "begin_ns": begin_ns},
        up_bytes=dict(up_bytes),
        down_bytes=dict(down_bytes),
    )


class LinkSeen(msgspec.Struct, frozen=True):
    """What the link carried, through the session's own transport."""

    round_trip_s: float  # median of some empty requests and their replies
    least_round_trip_s: float
    # up_bytes_per_s, down_bytes_per_s: content of the largest message that was timed ÷ its time
    # without a round trip, the best of some tries
    up_bytes_per_s: float
    down_bytes_per_s: float
