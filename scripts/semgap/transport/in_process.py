"""No transport at all: the worker is an object in the client's own process."""

from __future__ import annotations

import time

from torch import Tensor

from semgap.transport.base import Channel, Handler, ReplyMessage, RequestMessage, on_host


class InProcessChannel(Channel):
    """Hands messages to a handler, with copies of the tensors, as every transport delivers."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def request(self, message: RequestMessage) -> ReplyMessage:
        """See ``Channel.request``."""
        serialised_ns = time.monotonic_ns()
        copies = {
            tensor_class: [self._delivered(tensor) for tensor in tensors]
            for tensor_class, tensors in message.tensors.items()
        }
        reply = on_host(
            self._handler.handle(RequestMessage(message.header, copies, time.monotonic_ns()))
        )
        self._handler.settle()
        return ReplyMessage(reply.header, reply.tensors, serialised_ns)

    def _delivered(self, tensor: Tensor) -> Tensor:
        """A copy, unless the handler makes one anyway when it puts the tensor on its device."""
        return tensor.clone() if tensor.device == self._handler.device else tensor

    def close(self) -> None:
        """See ``Channel.close``."""
