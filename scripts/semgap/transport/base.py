"""What every transport offers: a request with tensors goes out, a reply with tensors comes back."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from semgap.policy import TensorClass
from semgap.protocol import Reply, Request

Tensors = Mapping[TensorClass, Sequence[Tensor]]


@dataclass(frozen=True)
class RequestMessage:
    """A request header and the tensors that accompany it, by semantic class."""

    header: Request
    tensors: Tensors = field(default_factory=dict)


@dataclass(frozen=True)
class ReplyMessage:
    """A reply header and the tensors that accompany it, by semantic class."""

    header: Reply
    tensors: Tensors = field(default_factory=dict)


class Handler(Protocol):
    """The worker's side of a session."""

    def handle(self, message: RequestMessage) -> ReplyMessage:
        """Carry out one request. Never raises: a failure is a ``Failed`` reply."""
        ...

    def settle(self) -> None:
        """Do the housekeeping of the last request; called once its reply is on its way."""
        ...


class Channel(Protocol):
    """The client's side of a session."""

    def request(self, message: RequestMessage) -> ReplyMessage:
        """Send one request and wait for its reply.

        Raises:
            TransportError: the message could not be carried, or no reply came in time.
        """
        ...

    def close(self) -> None:
        """End the session in an orderly way."""
        ...


@dataclass(frozen=True)
class Timeouts:
    """Longest waits.

    Attributes:
        connect_s: for the other side to be there.
        step_s: for one reply.
    """

    connect_s: float
    step_s: float


class NetworkTransport(Protocol):
    """The functions that a module in this folder defines to be a transport between processes."""

    def serve(self, host: str, port: int, handler: Handler, timeouts: Timeouts) -> None:
        """Serve one client at ``host:port``; return when it has closed its channel."""
        ...

    def connect(self, host: str, port: int, timeouts: Timeouts) -> Channel:
        """Connect to a worker that serves, or is about to serve, at ``host:port``.

        Raises:
            TransportError: there is no worker, or it does not answer in time.
        """
        ...


def load_transport(name: str) -> NetworkTransport:
    """Import the transport called ``name``, and no other.

    The name comes from the validated configuration, whose schema lists the transports.
    """
    module: NetworkTransport = importlib.import_module(f"semgap.transport.{name}")
    return module


def tensor_bytes(tensors: Tensors, tensor_class: TensorClass) -> int:
    """Bytes of content of one class of tensors in a message."""
    return sum(tensor.nbytes for tensor in tensors.get(tensor_class, ()))
