"""A session: a fresh worker, a channel to it, and what is known about both processes."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from semgap.errors import ServerError, TransportError, WorkerLostError
from semgap.meters.sockets import sockets_of
from semgap.policy import WorkerPlace
from semgap.records import ServerEndpoint, SocketPair, read_record
from semgap.server import control
from semgap.server.lifecycle import ensure_server, log_file_of
from semgap.transport.base import Channel, load_transport
from semgap.transport.in_process import InProcessChannel

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """One benchmark job's worker.

    Attributes:
        channel: carries requests to the worker.
        transport: the name of the transport behind the channel.
        worker_sockets: lists the worker process's TCP connections at the moment.
    """

    channel: Channel
    transport: str
    worker_sockets: Callable[[], tuple[SocketPair, ...]]


@dataclass(frozen=True)
class WorkerSettings:
    """What a session needs to know to get a worker.

    Attributes:
        endpoint_file: describes the server, where the worker is one of a server's.
        device: what a worker in this process computes on.
        compute_threads: threads that a worker in this process computes with.
    """

    endpoint_file: Path | None
    device: str
    compute_threads: int


@contextlib.contextmanager
def _in_process(settings: WorkerSettings) -> Iterator[Session]:
    # Imported here, since a client of a server has no use for transformers, which takes seconds.
    from semgap.model.device import open_device
    from semgap.worker import Worker

    torch.set_num_threads(settings.compute_threads)
    worker = Worker(open_device(settings.device))
    yield Session(InProcessChannel(worker), "in_process", lambda: sockets_of(os.getpid()))


@contextlib.contextmanager
def _on_server(settings: WorkerSettings) -> Iterator[Session]:
    if settings.endpoint_file is None:
        raise ServerError(
            "This mode needs a server and no endpoint is given.",
            "Name the file that the rule rpc_server writes with --endpoint.",
        )
    endpoint = read_record(settings.endpoint_file, ServerEndpoint)
    ensure_server(endpoint, settings.endpoint_file)
    log_file = log_file_of(settings.endpoint_file)
    with control.connect(endpoint) as connection:
        opened = control.ask(connection, control.OpenSession(), control.SessionOpened)
        try:
            channel = load_transport(endpoint.transport).connect(
                endpoint.host, opened.port, endpoint.step_timeout_s
            )

            def worker_sockets() -> tuple[SocketPair, ...]:
                return control.ask(connection, control.ListSockets(), control.Sockets).sockets

            yield Session(channel, endpoint.transport, worker_sockets)
            channel.close()
        except TransportError as error:
            raise WorkerLostError(
                f"{_what_became_of(connection)} ({error.cause})",
                f"The server's log is '{log_file}'. Run again: only what is missing is repeated.",
            ) from error


def _what_became_of(connection: control.Connection) -> str:
    """Ask the server, which knows how the worker ended, if it ended."""
    with contextlib.suppress(EOFError, OSError):
        if not connection.poll(1.0):
            return "The worker lives, but did not answer in time."
        message = control.receive_reply(connection)
        if isinstance(message, control.WorkerEnded):
            return f"The worker {message.how}."
    return "The worker's server is gone."


_OPENERS: dict[WorkerPlace, Callable[[WorkerSettings], AbstractContextManager[Session]]] = {
    WorkerPlace.IN_PROCESS: _in_process,
    WorkerPlace.SERVER: _on_server,
}


def open_session(
    place: WorkerPlace, settings: WorkerSettings
) -> AbstractContextManager[Session]:
    """Open a session with a worker of its own at ``place``; it ends with the block.

    Raises:
        ServerError: the server cannot be reached or started.
        WorkerLostError: the worker ended, with how it ended.
    """
    return _OPENERS[place](settings)
