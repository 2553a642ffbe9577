"""The server's control connections: JSON messages, decoded against types, never pickle.

Both sides prove first that they know the experiment's secret, by the HMAC challenges of
``multiprocessing.connection``; its framing carries the messages.
"""

import os
import socket
from collections.abc import Iterator
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from pathlib import Path
from typing import TypeVar

import msgspec

from semgap.errors import ServerError
from semgap.plumbing.provenance import Host
from semgap.plumbing.tcp_sockets import ProcessSockets, set_receive_timeout, set_send_timeout
from semgap.plumbing.usage import Usage
from semgap.plumbing.versions import Versions
from semgap.server.endpoint import RunTime, ServerEndpoint

# No request takes a second: after this time the server is taken to be stopped.
ANSWER_TIMEOUT_S = 20.0
HANDSHAKE_TIMEOUT_S = 3.0
_MAX_MESSAGE_BYTES = 1 << 20

Message = TypeVar("Message")


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """Ask who is there."""


class OpenSession(msgspec.Struct, frozen=True, tag="open_session"):
    """Ask the process at this connection to be a worker. It lives as long as the connection."""

    encoding: str | None = None  # of the session's tensors, if any


class RunProgram(msgspec.Struct, frozen=True, tag="run_program"):
    """Ask the process at this connection to run a server of somebody else's, instead of a worker.

    It lives as long as the connection.
    """

    # {host} and {port} in it stand for where it shall listen: an address, and a port that is free
    command: tuple[str, ...]


class AskUsage(msgspec.Struct, frozen=True, tag="ask_usage"):
    """Ask what the program has used until now."""


class ListSockets(msgspec.Struct, frozen=True, tag="list_sockets"):
    """Ask for the worker's TCP sockets."""


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """Who is there."""

    pid: int
    endpoint: ServerEndpoint  # what the server was told to be
    versions: Versions  # of the libraries that it has loaded
    clock_id: str  # as ``monotonic_clock_id`` says there


class SessionOpened(msgspec.Struct, frozen=True, tag="session_opened"):
    """A worker is about to serve at this port."""

    port: int


class Sockets(msgspec.Struct, frozen=True, tag="sockets"):
    """The worker's TCP sockets, without the control connection."""

    sockets: ProcessSockets


class WorkerEnded(msgspec.Struct, frozen=True, tag="worker_ended"):
    """The session's worker failed or is gone; also sent without being asked."""

    how: str


class UsageSeen(msgspec.Struct, frozen=True, tag="usage_seen"):
    """What the program has used until now."""

    usage: Usage


class DescribeHost(msgspec.Struct, frozen=True, tag="describe_host"):
    """Ask for a description of the worker's machine."""

    gpu_uuid: str  # the GPU that computes, empty where a CPU does
    gpu_name: str


class HostDescribed(msgspec.Struct, frozen=True, tag="host_described"):
    """The worker's machine."""

    host: Host


ServerRequest = Hello | OpenSession | RunProgram | ListSockets | AskUsage | DescribeHost
ServerReply = Welcome | SessionOpened | Sockets | UsageSeen | HostDescribed | WorkerEnded

_REQUESTS: msgspec.json.Decoder[ServerRequest] = msgspec.json.Decoder(ServerRequest)
_REPLIES: msgspec.json.Decoder[ServerReply] = msgspec.json.Decoder(ServerReply)


def over(connected: socket.socket) -> Connection:
    """Wrap a connected socket; each send and each receive has a time-out."""
    connected.setblocking(True)
    set_receive_timeout(connected, HANDSHAKE_TIMEOUT_S)
    set_send_timeout(connected, HANDSHAKE_TIMEOUT_S)
    return Connection(connected.detach())


def admit(connection: Connection, secret: bytes) -> None:
    """Let a client prove that it knows the secret, and prove it in turn.

    Raises:
        AuthenticationError, EOFError, OSError: the client does not, or has hung up.
    """
    deliver_challenge(connection, secret)
    answer_challenge(connection, secret)


def write_run_time(file: Path, run_time: RunTime) -> None:
    """Tell clients of this machine, in a file that its owner alone can read."""
    file.unlink(missing_ok=True)
    partial = file.with_name(f".{file.name}-{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as content:
        content.write(msgspec.json.encode(run_time))
    partial.replace(file)


def connect(endpoint: ServerEndpoint) -> Connection:
    """Open a control connection.

    Raises:
        ServerError: nobody listens there, or the other side does not know the secret.
    """
    host, remedy = endpoint.settings.host, "Start it, or look at the server's log for why it ended."
    try:
        run_time = msgspec.json.decode(Path(endpoint.run_time_file).read_bytes(), type=RunTime)
    except (OSError, msgspec.DecodeError) as error:
        raise ServerError(f"No server of this experiment runs: {error}.", remedy) from error
    where, secret = f"{host}:{run_time.port}", run_time.secret.encode()
    try:
        connection = over(socket.create_connection((host, run_time.port), HANDSHAKE_TIMEOUT_S))
    except OSError as error:
        raise ServerError(
            f"No server of this experiment answers at {where} ({error}).", remedy
        ) from error
    try:
        answer_challenge(connection, secret)
        deliver_challenge(connection, secret)
    # Python 3.11 asserts that a challenge has the right form.
    except (AuthenticationError, AssertionError, EOFError, OSError) as error:
        connection.close()
        raise ServerError(
            f"What listens at {where} is not this experiment's server, or does not answer "
            f"({error or 'it hung up'}).",
            "Set server.port to a free port, or stop the other program.",
        ) from error
    return connection


def send(connection: Connection, message: ServerRequest | ServerReply) -> None:
    """Send one message; OSError if the other side has hung up or takes nothing."""
    connection.send_bytes(msgspec.json.encode(message))


def requests(connection: Connection) -> Iterator[ServerRequest]:
    """A client's messages, until it hangs up (EOFError, OSError) or sends something else."""
    while connection.poll(None):
        yield _REQUESTS.decode(connection.recv_bytes(_MAX_MESSAGE_BYTES))


def receive_reply(connection: Connection, timeout_s: float) -> ServerReply:
    """Receive a server's message; EOFError when it has hung up, TimeoutError if none comes."""
    if not connection.poll(timeout_s):
        raise TimeoutError
    return _REPLIES.decode(connection.recv_bytes(_MAX_MESSAGE_BYTES))


def ask(
    connection: Connection,
    request: ServerRequest,
    reply_type: type[Message],
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> Message:
    """Send a request and return the reply, which must be of ``reply_type``.

    Raises:
        ServerError: the server hung up, did not answer in time, or answered something else.
    """
    try:
        send(connection, request)
        reply = receive_reply(connection, timeout_s)
    except TimeoutError as error:
        raise ServerError(
            f"The server did not answer within {timeout_s:g} s.",
            "It may be stopped or the machine too busy: 'make stop' ends it, whatever its state; "
            "the next run starts it again.",
        ) from error
    except (msgspec.DecodeError, EOFError, OSError) as error:
        raise ServerError(
            "The server hung up.", "Look at the server's log; the next run starts it again."
        ) from error
    if isinstance(reply, WorkerEnded):
        raise ServerError(
            f"The worker {reply.how}.", "Look at the server's log for what it was doing."
        )
    if not isinstance(reply, reply_type):
        raise ServerError(
            f"The server answered {type(reply).__name__} to {type(request).__name__}.",
            "Stop the server and run again: it may be of another version.",
        )
    return reply


_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIME_NAMESPACE = Path("/proc/self/ns/time")


def monotonic_clock_id() -> str:
    """Equal in two processes whose time stamps of the monotonic clock can be compared.

    That is so within one boot of one machine, but for time namespaces, which shift the clock.
    """
    # Kernels before 5.6 have no time namespaces, and sandboxes may hide both.
    namespace = _TIME_NAMESPACE.readlink() if _TIME_NAMESPACE.exists() else ""
    boot_id = _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else ""
    return f"{boot_id} {namespace}"
