"""What one request and its reply took."""

import math

import msgspec

from semgap.policy import TensorClass

SPANS = (
    *("placement_s", "serialise_s", "send_s", "host_to_device_s"),
    *("queue_s", "worker_s", "device_to_host_s", "receive_s"),
)
_TRANSFER = ("serialise_s", "send_s", "host_to_device_s", "device_to_host_s", "receive_s")


class StepRecord(msgspec.Struct, frozen=True):
    """One request and its reply, timed by the client.

    The latency is from the first tensor that a placement is asked for to the last that it joined.
    The spans in ``SPANS`` tile it. Records without the copies to and from the worker's device have
    them as parts of the spans beside them.
    """

    latency_s: float
    placement_s: float  # the client's placements, before the exchange and after it
    serialise_s: float  # until the client's transport had serialised the request
    send_s: float  # until the whole request was in the memory of the worker's host
    queue_s: float  # until the worker's handler began
    worker_s: float  # the worker's handler, of which compute_s is the forward pass
    compute_s: float
    receive_s: float  # from the handler's end until the client had the reply
    up_bytes: dict[TensorClass, int]  # content of the tensors sent
    down_bytes: dict[TensorClass, int]  # content of the tensors received
    up_tensors: int  # number of tensors sent
    down_tensors: int  # number of tensors received
    # Of what does not overlap with the network: until the request's tensors were on the device,
    host_to_device_s: float | None = None
    # and until the first of the reply were back in the memory of the worker's host.
    device_to_host_s: float | None = None

    @property
    def spans_s(self) -> dict[str, float]:
        """The spans that tile the latency, by name, in the order of time."""
        return {name: span for name in SPANS if (span := getattr(self, name)) is not None}

    @property
    def transfer_s(self) -> float:
        """From the first byte serialised until the reply is there, apart from the worker's part."""
        return math.fsum(self.spans_s.get(name, 0.0) for name in _TRANSFER)

    @property
    def total_up_bytes(self) -> int:
        """Content of all tensors sent."""
        return sum(self.up_bytes.values())

    @property
    def total_down_bytes(self) -> int:
        """Content of all tensors received."""
        return sum(self.down_bytes.values())
