"""What one request and its reply took."""

import msgspec

from semgap.policy import TensorClass


class StepRecord(msgspec.Struct, frozen=True):
    """One request and its reply, timed by the client.

    The latency is from the first tensor that a placement is asked for to the last that it joined.
    Six spans tile it: placement, serialise, send, queue, worker and receive.
    """

    latency_s: float
    placement_s: float  # the client's placements, before the exchange and after it
    serialise_s: float  # until the client's transport had serialised the request
    send_s: float  # until the worker's transport had the whole request
    queue_s: float  # until the worker's handler began
    worker_s: float  # the worker's handler, of which compute_s is the forward pass
    compute_s: float
    receive_s: float  # from the handler's end until the client had the reply
    up_bytes: dict[TensorClass, int]  # content of the tensors sent
    down_bytes: dict[TensorClass, int]  # content of the tensors received
    up_tensors: int  # number of tensors sent
    down_tensors: int  # number of tensors received

    @property
    def total_up_bytes(self) -> int:
        """Content of all tensors sent."""
        return sum(self.up_bytes.values())

    @property
    def total_down_bytes(self) -> int:
        """Content of all tensors received."""
        return sum(self.down_bytes.values())
