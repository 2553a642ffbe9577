"""The messages of the server's control channel: JSON, decoded against types, never pickle."""

from pathlib import Path
from typing import TypeVar

import msgspec

from semgap.errors import ServerError
from semgap.plumbing.connections import ProcessSockets
from semgap.plumbing.versions import Versions
from semgap.server.channel import ControlChannel, UntrustedError, connect_channel
from semgap.server.endpoint import ServerEndpoint

# The server answers from one loop that never waits: longer than this means that it is stopped.
ANSWER_TIMEOUT_S = 20.0
HANDSHAKE_TIMEOUT_S = 3.0

Message = TypeVar("Message")


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """Ask who is there."""


class OpenSession(msgspec.Struct, frozen=True, tag="open_session"):
    """Ask for a worker of one's own. It lives until this control connection closes."""


class ListSockets(msgspec.Struct, frozen=True, tag="list_sockets"):
    """Ask for the TCP sockets of the session's worker."""


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Ask the server to end, with all sessions."""


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """Who is there: the server's process, code and versions."""

    pid: int
    code: str
    versions: Versions


class SessionOpened(msgspec.Struct, frozen=True, tag="session_opened"):
    """A worker is about to serve at this port."""

    worker_pid: int
    port: int


class Sockets(msgspec.Struct, frozen=True, tag="sockets"):
    """The TCP sockets of the session's worker."""

    sockets: ProcessSockets


class WorkerEnded(msgspec.Struct, frozen=True, tag="worker_ended"):
    """The session's worker is gone; sent without being asked."""

    how: str


class Stopping(msgspec.Struct, frozen=True, tag="stopping"):
    """The server is ending."""


ServerRequest = Hello | OpenSession | ListSockets | Stop
ServerReply = Welcome | SessionOpened | Sockets | WorkerEnded | Stopping

_REQUESTS: msgspec.json.Decoder[ServerRequest] = msgspec.json.Decoder(ServerRequest)
_REPLIES: msgspec.json.Decoder[ServerReply] = msgspec.json.Decoder(ServerReply)


def send(channel: ControlChannel, message: ServerRequest | ServerReply) -> None:
    """Send one control message; TimeoutError if nobody takes it."""
    channel.send(msgspec.json.encode(message), ANSWER_TIMEOUT_S)


def decode_request(message: bytes) -> ServerRequest:
    """A client's message; ``msgspec.DecodeError`` if it is none."""
    return _REQUESTS.decode(message)


def receive_reply(channel: ControlChannel, timeout_s: float) -> ServerReply:
    """Receive a server's message; EOFError when it has hung up, TimeoutError if none comes."""
    return _REPLIES.decode(channel.receive(timeout_s))


def connect(endpoint: ServerEndpoint) -> ControlChannel:
    """Open a control connection, within ``HANDSHAKE_TIMEOUT_S``.

    Raises:
        ServerError: nobody listens there, or the other side does not know the secret.
    """
    where = f"{endpoint.settings.host}:{endpoint.settings.port}"
    try:
        secret = Path(endpoint.secret_file).read_bytes()
        return connect_channel(
            endpoint.settings.host, endpoint.settings.port, secret, HANDSHAKE_TIMEOUT_S
        )
    except (ConnectionRefusedError, FileNotFoundError) as error:
        raise ServerError(
            f"No server of this experiment answers at {where} ({error}).",
            "Start it, or look at the server's log for why it ended.",
        ) from error
    except (UntrustedError, EOFError, OSError) as error:
        raise ServerError(
            f"What listens at {where} is not this experiment's server, or does not answer "
            f"({error or 'it hung up'}).",
            "Set server.port to a free port, or stop the other program.",
        ) from error


def ask(
    channel: ControlChannel,
    request: ServerRequest,
    reply_type: type[Message],
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> Message:
    """Send a request and return the reply, which must be of ``reply_type``.

    Raises:
        ServerError: the server hung up, did not answer in time, or answered something else.
    """
    try:
        send(channel, request)
        reply = receive_reply(channel, timeout_s)
    except TimeoutError as error:
        raise ServerError(
            f"The server did not answer within {timeout_s:g} s.",
            "It may be stopped or the machine too busy: 'make stop' ends it, whatever its state; "
            "the next run starts it again.",
        ) from error
    except (UntrustedError, msgspec.DecodeError, EOFError, OSError) as error:
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
