"""What one request and its reply took."""

import msgspec

from semgap.policy import TensorClass


class StepRecord(msgspec.Struct, frozen=True):
    """One request and its reply, timed by the client."""

    # from the first tensor that a placement is asked for to the last that it joined; the sum of the
    # following six, which tile it
    latency_s: float
    placement_s: float  # the client's placements, before the exchange and after it
    # until the client's transport had the request in the form in which it travels
    serialise_s: float
    send_s: float  # until the worker's transport had the whole request
    queue_s: float  # until the worker's handler began
    worker_s: float  # the worker's handler, of which ``compute_s`` is the forward pass
    compute_s: float
    receive_s: float  # from the handler's end until the client had the reply
    # up_bytes, down_bytes: content of the tensors sent and received, by semantic class
    up_bytes: dict[TensorClass, int]
    down_bytes: dict[TensorClass, int]
    # up_tensors, down_tensors: number of tensors sent and received
    up_tensors: int
    down_tensors: int
