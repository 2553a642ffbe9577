"""A worker that the experiment's server forks for this session alone."""

import contextlib
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from semgap.encodings import encoded_channel
from semgap.errors import ServerError, TransportError, WorkerLostError
from semgap.inference.worker_settings import WorkerSettings
from semgap.plumbing.files import read_record
from semgap.plumbing.provenance import Host
from semgap.plumbing.tcp_sockets import ProcessSockets
from semgap.server import control
from semgap.server.endpoint import ServerEndpoint
from semgap.server.lifecycle import ensure_server, log_file_of
from semgap.session import Session
from semgap.transport import Timeouts, load_transport

# After a lost connection, the server learns of the worker's end within moments.
_END_TIMEOUT_S = 1.0


@contextlib.contextmanager
def open_session(
    _settings: WorkerSettings, endpoint_file: Path | None, encoding: str | None = None
) -> Iterator[Session]:
    if endpoint_file is None:
        raise ServerError(
            "This mode needs a server and no endpoint is given.",
            "Name the file that the rule rpc_server writes with --endpoint.",
        )
    # The worker may share this machine's cores: more threads here would compete with it.
    torch.set_num_threads(1)
    endpoint = read_record(endpoint_file, ServerEndpoint)
    welcome = ensure_server(endpoint, endpoint_file)
    one_clock = welcome.clock_id == control.monotonic_clock_id()
    link = endpoint.settings.link if endpoint.settings.launch == "namespace" else None
    with control.connect(endpoint) as connection:
        opened = control.ask(
            connection,
            control.OpenSession(encoding),
            control.SessionOpened,
            endpoint.settings.start_timeout_s,
        )
        try:
            channel = load_transport(endpoint.settings.transport).connect(
                endpoint.settings.host,
                opened.port,
                Timeouts(endpoint.settings.start_timeout_s, endpoint.settings.step_timeout_s),
            )

            def worker_sockets() -> ProcessSockets:
                return control.ask(connection, control.ListSockets(), control.Sockets).sockets

            def describe_host(gpu_uuid: str, gpu_name: str) -> Host:
                asked = control.DescribeHost(gpu_uuid, gpu_name)
                return control.ask(connection, asked, control.HostDescribed).host

            yield Session(
                encoded_channel(channel, encoding),
                endpoint.settings.transport,
                worker_sockets,
                one_clock,
                None if one_clock else describe_host,
                link,
            )
            channel.close()
        except TransportError as error:
            raise WorkerLostError(
                f"{_what_became_of_the_worker(connection)} ({error.cause})",
                f"The server's log is '{log_file_of(endpoint_file)}'. Run again: only "
                "what is missing is repeated.",
            ) from error


def _what_became_of_the_worker(connection: Connection) -> str:
    """Ask the server, which knows how the worker ended, if it ended."""
    try:
        message = control.receive_reply(connection, _END_TIMEOUT_S)
        if isinstance(message, control.WorkerEnded):
            return f"The worker {message.how}."
    except TimeoutError:
        return "The worker lives, but did not answer in time."
    except (EOFError, OSError):
        pass
    return "The worker's server is gone."
