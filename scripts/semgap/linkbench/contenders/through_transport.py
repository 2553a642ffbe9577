"""A transport of this project as a contender."""

import functools

import torch
from torch import Tensor

from semgap.linkbench.contenders import TIMEOUT_S, Link, Ready
from semgap.policy import TensorClass
from semgap.protocol import Done, Forward
from semgap.transport import (
    Channel,
    Handler,
    ReplyMessage,
    RequestMessage,
    Timeouts,
    load_transport,
)

# The header of a step.
_HEADER = Forward(logits_to_keep=1, positions=0)
_TIMEOUTS = Timeouts(connect_s=TIMEOUT_S, step_s=TIMEOUT_S)


class _Replying(Handler):
    """Replies with as many bytes as the request's tokens say."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._replies: dict[int, ReplyMessage] = {}

    def handle(self, message: RequestMessage) -> ReplyMessage:
        reply_bytes = int(message.tensors[TensorClass.TOKENS][0])
        if reply_bytes not in self._replies:
            logits = torch.zeros(reply_bytes, dtype=torch.uint8, device=self.device)
            self._replies[reply_bytes] = ReplyMessage(
                Done(0, 0, 0, 0, 0.0, 0.0), {TensorClass.LOGITS: [logits]}
            )
        return self._replies[reply_bytes]

    def discard(self) -> None:
        """No-op."""


class _ChannelLink(Link):
    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def exchange(self, payload: Tensor, reply_bytes: int) -> None:
        tensors = {TensorClass.TOKENS: [_one_number(reply_bytes)]}
        if payload.nbytes:
            tensors[TensorClass.WEIGHTS] = [payload]
        self._channel.request(RequestMessage(_HEADER, tensors))

    def close(self) -> None:
        self._channel.close()


@functools.cache
def _one_number(number: int) -> Tensor:
    return torch.tensor([number])


def serve(name: str, host: str, port: int, device: torch.device, say_ready: Ready) -> None:
    """Serve through the transport called ``name``."""
    load_transport(name).serve(host, port, _Replying(device), _TIMEOUTS, say_ready)


def connect(name: str, host: str, port: int) -> Link:
    """Connect through the transport called ``name``."""
    return _ChannelLink(load_transport(name).connect(host, port, _TIMEOUTS))
