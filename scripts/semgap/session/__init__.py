"""A session: a fresh worker, a channel to it, and what is known about both processes."""

import importlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from semgap.inference.worker_settings import WorkerSettings
from semgap.plumbing.provenance import Host
from semgap.plumbing.tcp_sockets import ProcessSockets, sockets_of
from semgap.policy import WorkerPlace
from semgap.server.endpoint import LinkShape
from semgap.transport import Channel


@dataclass(frozen=True)
class Session:
    """One benchmark job's worker."""

    channel: Channel | None  # carries requests to a worker of ours
    transport: str  # the name of the transport behind the channel
    # lists the worker process's TCP sockets at the moment
    worker_sockets: Callable[[], ProcessSockets]
    one_clock: bool  # whether the worker reads the monotonic clock that this process reads
    # describes another machine that the worker is on, by UUID and name of the GPU that computes
    describe_host: Callable[[str, str], Host] | None = None
    link: LinkShape | None = None  # what was made between this process and the worker
    # lists those of the worker's client: of this process, unless that is another one
    client_sockets: Callable[[], ProcessSockets] = lambda: sockets_of(os.getpid())
    client_poll_s: float = 0.0  # how long this process stays awake while it waits for a reply


class SessionModule(Protocol):
    """The function that a module in this folder defines to be a place for workers."""

    def open_session(
        self, settings: WorkerSettings, endpoint_file: Path | None, encoding: str | None = None
    ) -> AbstractContextManager[Session]:
        """Open a session with a worker of its own; it ends with the block.

        Args:
            settings: of a worker in this process; those of a server are the endpoint's.
            endpoint_file: describes the server, where the worker is one of a server's.
            encoding: name of what encodes tensors at both ends, if anything does.

        Raises:
            ServerError: the server cannot be reached or started.
            WorkerLostError: the worker ended, with how it ended.
        """
        ...


def load_session_module(place: WorkerPlace) -> SessionModule:
    """Import the module for ``place``, and no other."""
    module: SessionModule = importlib.import_module(f"semgap.session.{place}")
    return module
