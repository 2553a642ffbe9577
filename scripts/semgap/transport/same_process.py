"""No transport at all: the worker is an object in the client's own process."""

from __future__ import annotations

import time

from semgap.transport.contract import (
    Channel,
    Handler,
    ReplyMessage,
    RequestMessage,
)


class InProcessChannel(Channel):
    """Hands messages to a handler, with copies of the tensors, as every transport delivers."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def request(self, message: RequestMessage) -> ReplyMessage:
        """See ``Channel.request``."""
        serialised_ns = time.monotonic_ns()
        copies = {
            tensor_class: [tensor.to(self._handler.device, copy=True) for tensor in tensors]
            for tensor_class, tensors in message.tensors.items()
        }
        reply = self._handler.handle(RequestMessage(message.header, copies, time.monotonic_ns()))
        answer = {
            tensor_class: [tensor.cpu() for tensor in tensors]
            for tensor_class, tensors in reply.tensors.items()
        }
        self._handler.settle()
        return ReplyMessage(reply.header, answer, serialised_ns)

    def close(self) -> None:
        """See ``Channel.close``."""
