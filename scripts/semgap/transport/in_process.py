"""No transport at all: the worker is an object in the client's own process."""

from __future__ import annotations

from semgap.transport.base import Channel, Handler, ReplyMessage, RequestMessage


class InProcessChannel(Channel):
    """Hands messages to a handler, with copies of the tensors, as every transport delivers."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def request(self, message: RequestMessage) -> ReplyMessage:
        """See ``Channel.request``."""
        copies = {
            tensor_class: [tensor.clone() for tensor in tensors]
            for tensor_class, tensors in message.tensors.items()
        }
        reply = self._handler.handle(RequestMessage(message.header, copies))
        self._handler.settle()
        return reply

    def close(self) -> None:
        """See ``Channel.close``."""
