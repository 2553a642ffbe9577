"""What every transport offers: a request with tensors goes out, a reply with tensors comes back."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec
import torch
from torch import Tensor

from semgap.errors import ConfigError, RemoteError, SemgapError
from semgap.policy import TensorClass
from semgap.protocol import Encoded, Failed, Reply, Request

Tensors = Mapping[TensorClass, Sequence[Tensor]]


class RequestMessage(msgspec.Struct, frozen=True):
    """A request header and the tensors that accompany it, by semantic class."""

    header: Request
    tensors: Tensors = msgspec.field(default_factory=dict)
    # The worker's monotonic clock when its host had the whole request, and when the tensors were on
    # the handler's device.
    received_ns: int = 0
    delivered_ns: int = 0


class ReplyMessage(msgspec.Struct, frozen=True):
    """A reply header and the tensors that accompany it, by semantic class."""

    header: Reply
    tensors: Tensors = msgspec.field(default_factory=dict)
    # the client's monotonic clock when its transport had serialised the request
    serialised_ns: int = 0
    # the worker's monotonic clock when the first of the tensors were in its host's memory
    departing_ns: int = 0
    encoded: Encoded | None = None  # on the client, where there is an encoding
    # on the client, what was replied to the requests that were posted since the last one
    posted: Sequence[Reply] = ()


class Handler(Protocol):
    """The worker's side of a session; a transport calls it from one thread."""

    device: torch.device  # where a transport delivers a request's tensors, and finds a reply's

    def handle(self, message: RequestMessage) -> ReplyMessage:
        """Carry out one request. Never raises: a failure is a ``Failed`` reply.

        The request's tensors belong to the handler: nobody else reads or writes their memory for
        as long as the handler refers to them.
        """
        ...

    def discard(self) -> None:
        """Do the housekeeping of the last request; called once its reply is on its way."""
        ...


class Channel(Protocol):
    """The client's side of a session."""

    def request(self, message: RequestMessage) -> ReplyMessage:
        """Send one request and wait for its reply, whose tensors are on the CPU.

        Raises:
            TransportError: the message could not be carried, or no reply came in time.
        """
        ...

    def post(self, _message: RequestMessage) -> None:
        """Send one request and do not wait for its reply, which comes with the next request's.

        Raises:
            TransportError: the message could not be carried.
            ConfigError: this transport always waits.
        """
        raise ConfigError(
            "A mode sends requests without waiting for replies, and this transport always waits.",
            "Set 'server.transport' to 'tcp', or leave op_pipelined and op_graph out of 'modes'.",
        )

    def close(self) -> None:
        """End the session in an orderly way."""
        ...


@dataclass(frozen=True)
class Timeouts:
    """Longest waits."""

    connect_s: float  # for the other side to be there
    step_s: float  # for one reply; ``tcp`` waits so long for each next part of it
    poll_s: float = 0.0  # of it, how long ``tcp`` stays awake


class Framing(NamedTuple):
    """What a transport adds to the content of tensors, about, as captures showed it once."""

    message_bytes: int  # for each message, in either direction
    tensor_bytes: int  # for each tensor in it


class NetworkTransport(Protocol):
    """What a module in this folder defines to be a transport between processes."""

    FRAMING: Framing

    def serve(
        self,
        host: str,
        port: int,
        handler: Handler,
        timeouts: Timeouts,
        say_ready: Callable[[], None],
    ) -> None:
        """Serve one client at ``host:port``; return when it has closed its channel.

        Args:
            say_ready: called when a client may connect.

        Raises:
            TransportError: no client came in time, or what came cannot be understood.
        """
        ...

    def connect(self, host: str, port: int, timeouts: Timeouts) -> Channel:
        """Connect to a worker that has said it is ready at ``host:port``.

        Raises:
            TransportError: there is no worker, or it does not answer in time.
        """
        ...


def load_transport(name: str) -> NetworkTransport:
    """Import the transport called ``name``, and no other."""
    module: NetworkTransport = importlib.import_module(f"semgap.transport.{name}")
    return module


def tensor_bytes(tensors: Tensors, tensor_class: TensorClass) -> int:
    """Bytes of content of one class of tensors in a message."""
    return sum(tensor.nbytes for tensor in tensors.get(tensor_class, ()))


def failed_reply(error: Exception) -> ReplyMessage:
    """What the client is told of an error."""
    if isinstance(error, SemgapError):
        return ReplyMessage(Failed(type(error).__name__, error.cause, error.remedy))
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "not enough memory" in str(error):
        cause = f"The worker ran out of memory: {error}."
        remedy = "Use a smaller model or dtype, a shorter prompt, or a device with more memory."
    else:
        cause = f"The worker failed with {type(error).__name__}: {error}."
        remedy = "The traceback is in the worker's log."
    return ReplyMessage(Failed(RemoteError.__name__, cause, remedy))
