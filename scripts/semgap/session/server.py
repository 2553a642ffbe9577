"""A worker that the experiment's server forks for this session alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from multiprocessing.connection import Connection

import torch

from semgap.errors import ServerError, TransportError, WorkerLostError
from semgap.records import ServerEndpoint, SocketPair, read_record
from semgap.server import control
from semgap.server.lifecycle import ensure_server, log_file_of
from semgap.session.base import Session, WorkerSettings
from semgap.transport.base import Timeouts, load_transport


@contextlib.contextmanager
def open_session(settings: WorkerSettings) -> Iterator[Session]:
    """See ``SessionModule.open_session``."""
    if settings.endpoint_file is None:
        raise ServerError(
            "This mode needs a server and no endpoint is given.",
            "Name the file that the rule rpc_server writes with --endpoint.",
        )
    # The worker may share this machine's cores: threads that help here would compete with it.
    torch.set_num_threads(1)
    endpoint = read_record(settings.endpoint_file, ServerEndpoint)
    ensure_server(endpoint, settings.endpoint_file)
    with control.connect(endpoint) as connection:
        opened = control.ask(connection, control.OpenSession(), control.SessionOpened)
        try:
            channel = load_transport(endpoint.settings.transport).connect(
                endpoint.settings.host,
                opened.port,
                Timeouts(endpoint.settings.start_timeout_s, endpoint.settings.step_timeout_s),
            )

            def worker_sockets() -> tuple[SocketPair, ...]:
                return control.ask(connection, control.ListSockets(), control.Sockets).sockets

            yield Session(channel, endpoint.settings.transport, opened.worker_pid, worker_sockets)
            channel.close()
        except TransportError as error:
            raise WorkerLostError(
                f"{_what_became_of_the_worker(connection)} ({error.cause})",
                f"The server's log is '{log_file_of(settings.endpoint_file)}'. Run again: only "
                "what is missing is repeated.",
            ) from error


def _what_became_of_the_worker(connection: Connection) -> str:
    """Ask the server, which knows how the worker ended, if it ended."""
    with contextlib.suppress(EOFError, OSError):
        if not connection.poll(1.0):
            return "The worker lives, but did not answer in time."
        message = control.receive_reply(connection)
        if isinstance(message, control.WorkerEnded):
            return f"The worker {message.how}."
    return "The worker's server is gone."
