"""A worker, or another program, that the experiment's server runs for this session alone."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from semgap.encodings import encoded_channel
from semgap.errors import ServerError, TransportError, WorkerLostError
from semgap.inference.worker_settings import WorkerSettings
from semgap.plumbing.files import read_record
from semgap.plumbing.provenance import Host
from semgap.plumbing.tcp_sockets import ProcessSockets
from semgap.plumbing.usage import Usage
from semgap.server import control
from semgap.server.endpoint import LinkShape, ServerEndpoint
from semgap.server.lifecycle import ensure_server, log_file_of
from semgap.session import Session
from semgap.transport import Timeouts, load_transport

# After a lost connection, the server learns of the worker's end within moments.
_END_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class FarSide:
    """The process that a control connection leads to."""

    connection: Connection
    endpoint: ServerEndpoint
    one_clock: bool  # whether it reads the monotonic clock that this process reads

    @property
    def link(self) -> LinkShape | None:
        """What was made between this process and that one."""
        settings = self.endpoint.settings
        return settings.link if settings.launch == "namespace" else None

    def open(self, request: control.OpenSession | control.RunProgram) -> int:
        """Let it be something; returns the port that it serves."""
        timeout_s = self.endpoint.settings.start_timeout_s
        return control.ask(self.connection, request, control.SessionOpened, timeout_s).port

    def sockets(self) -> ProcessSockets:
        """Its TCP sockets and those of what it has started."""
        return control.ask(self.connection, control.ListSockets(), control.Sockets).sockets

    def usage(self) -> Usage:
        """What the program that it runs has used."""
        return control.ask(self.connection, control.AskUsage(), control.UsageSeen).usage

    def describe_host(self, gpu_uuid: str, gpu_name: str) -> Host:
        """Its machine."""
        asked = control.DescribeHost(gpu_uuid, gpu_name)
        return control.ask(self.connection, asked, control.HostDescribed).host

    def end(self) -> str | None:
        """How it ended, if it has."""
        try:
            message = control.receive_reply(self.connection, _END_TIMEOUT_S)
        except TimeoutError:
            return None
        except (EOFError, OSError):
            return "is gone, with this experiment's server"
        return message.how if isinstance(message, control.WorkerEnded) else None


@contextlib.contextmanager
def far_side(endpoint_file: Path | None) -> Iterator[FarSide]:
    """Connect with the experiment's server; what it forks for this ends with the block.

    Raises:
        ServerError: it cannot be reached or started.
    """
    if endpoint_file is None:
        raise ServerError(
            "This mode needs a server and no endpoint is given.",
            "Name the file that the rule rpc_server writes with --endpoint.",
        )
    endpoint = read_record(endpoint_file, ServerEndpoint)
    welcome = ensure_server(endpoint, endpoint_file)
    with control.connect(endpoint) as connection:
        yield FarSide(connection, endpoint, welcome.clock_id == control.monotonic_clock_id())


@contextlib.contextmanager
def open_session(
    _settings: WorkerSettings, endpoint_file: Path | None, encoding: str | None = None
) -> Iterator[Session]:
    # The worker may share this machine's cores: more threads here would compete with it.
    torch.set_num_threads(1)
    with far_side(endpoint_file) as there:
        settings = there.endpoint.settings
        port = there.open(control.OpenSession(encoding))
        try:
            timeouts = Timeouts(
                settings.start_timeout_s, settings.step_timeout_s, settings.client_poll_s
            )
            channel = load_transport(settings.transport).connect(settings.host, port, timeouts)
            yield Session(
                encoded_channel(channel, encoding),
                settings.transport,
                there.sockets,
                there.one_clock,
                None if there.one_clock else there.describe_host,
                there.link,
                client_poll_s=timeouts.poll_s,
            )
            channel.close()
        except TransportError as error:
            assert endpoint_file is not None, "there is a far side"
            raise WorkerLostError(
                f"The worker {there.end() or 'lives, but did not answer in time'}. ({error.cause})",
                f"The server's log is '{log_file_of(endpoint_file)}'. Run again: only "
                "what is missing is repeated.",
            ) from error
