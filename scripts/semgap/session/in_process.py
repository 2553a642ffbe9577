"""A worker in the client's own process: nothing crosses a network."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from msgspec import structs

from semgap.encodings import encoded_channel, encoded_handler
from semgap.inference.worker import Worker
from semgap.inference.worker_settings import WorkerSettings
from semgap.model.device import open_device, waiting_for
from semgap.plumbing.tcp_sockets import sockets_of
from semgap.policy import WorkerPlace
from semgap.protocol import Reply
from semgap.session import Session
from semgap.transport import Channel, Handler, ReplyMessage, RequestMessage


@contextlib.contextmanager
def open_session(
    settings: WorkerSettings, _endpoint_file: Path | None, encoding: str | None = None
) -> Iterator[Session]:
    torch.set_num_threads(settings.threads)
    worker = Worker(open_device(settings.device))
    yield Session(
        encoded_channel(InProcessChannel(encoded_handler(worker, encoding)), encoding),
        str(WorkerPlace.IN_PROCESS),
        lambda: sockets_of(os.getpid()),
        one_clock=True,
    )


class InProcessChannel(Channel):
    """Hands messages to a handler, with copies of the tensors, as every transport delivers."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._wait = waiting_for(handler.device)
        self._posted: list[Reply] = []

    def request(self, message: RequestMessage) -> ReplyMessage:
        posted, self._posted = self._posted, []
        return structs.replace(self._carry(message), posted=posted)

    def post(self, _message: RequestMessage) -> None:
        self._posted.append(self._carry(_message).header)

    def _carry(self, message: RequestMessage) -> ReplyMessage:
        received_ns = time.monotonic_ns()
        copies = {
            tensor_class: [tensor.to(self._handler.device, copy=True) for tensor in tensors]
            for tensor_class, tensors in message.tensors.items()
        }
        delivered_ns = time.monotonic_ns()
        reply = self._handler.handle(
            RequestMessage(message.header, copies, received_ns, delivered_ns)
        )
        # Into pinned memory, if a GPU computes.
        answer = {
            tensor_class: [tensor.to("cpu", non_blocking=True) for tensor in tensors]
            for tensor_class, tensors in reply.tensors.items()
        }
        self._wait()
        departing_ns = time.monotonic_ns()
        self._handler.discard()
        return ReplyMessage(reply.header, answer, received_ns, departing_ns)

    def close(self) -> None:
        """No-op."""
