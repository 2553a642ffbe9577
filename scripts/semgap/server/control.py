"""The server's control channel: authenticated, length-prefixed, JSON, never pickle.

``multiprocessing.connection`` proves with an HMAC challenge on both sides that each knows the
server's secret, and carries byte strings; what is in them is decoded against these types.
"""

from __future__ import annotations

from multiprocessing.connection import Client, Connection
from multiprocessing.context import AuthenticationError
from pathlib import Path
from typing import TypeVar

import msgspec

from semgap.errors import ServerError
from semgap.records import ServerEndpoint, SocketPair, Versions

Message = TypeVar("Message")


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """Ask who is there."""


class OpenSession(msgspec.Struct, frozen=True, tag="open_session"):
    """Ask for a worker of one's own. It lives until this control connection closes."""


class ListSockets(msgspec.Struct, frozen=True, tag="list_sockets"):
    """Ask for the TCP connections of the session's worker."""


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
    """The TCP connections of the session's worker."""

    sockets: tuple[SocketPair, ...]


class WorkerEnded(msgspec.Struct, frozen=True, tag="worker_ended"):
    """The session's worker is gone; sent without being asked."""

    how: str


class Stopping(msgspec.Struct, frozen=True, tag="stopping"):
    """The server is ending."""


ServerRequest = Hello | OpenSession | ListSockets | Stop
ServerReply = Welcome | SessionOpened | Sockets | WorkerEnded | Stopping

_REQUESTS: msgspec.json.Decoder[ServerRequest] = msgspec.json.Decoder(ServerRequest)
_REPLIES: msgspec.json.Decoder[ServerReply] = msgspec.json.Decoder(ServerReply)


def send(connection: Connection, message: ServerRequest | ServerReply) -> None:
    """Send one control message."""
    connection.send_bytes(msgspec.json.encode(message))


def receive_request(connection: Connection) -> ServerRequest:
    """Receive a client's message; EOFError when it has hung up."""
    return _REQUESTS.decode(connection.recv_bytes(maxlength=1 << 16))


def receive_reply(connection: Connection) -> ServerReply:
    """Receive a server's message; EOFError when it has hung up."""
    return _REPLIES.decode(connection.recv_bytes(maxlength=1 << 20))


def connect(endpoint: ServerEndpoint) -> Connection:
    """Open a control connection.

    Raises:
        ServerError: nobody listens there, or the other side does not know the secret.
    """
    where = f"{endpoint.settings.host}:{endpoint.settings.port}"
    try:
        secret = Path(endpoint.settings.secret_file).read_bytes()
        return Client((endpoint.settings.host, endpoint.settings.port), authkey=secret)
    except (ConnectionError, FileNotFoundError) as error:
        raise ServerError(
            f"No server of this experiment answers at {where} ({error}).",
            "Start it, or look at the server's log for why it ended.",
        ) from error
    except (AuthenticationError, EOFError, OSError) as error:
        raise ServerError(
            f"What listens at {where} is not this experiment's server.",
            "Set server.port to a free port, or stop the other program.",
        ) from error


def ask(connection: Connection, request: ServerRequest, reply_type: type[Message]) -> Message:
    """Send a request and return the reply, which must be of ``reply_type``.

    Raises:
        ServerError: the server hung up or answered something else.
    """
    try:
        send(connection, request)
        reply = receive_reply(connection)
    except (EOFError, OSError) as error:
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
