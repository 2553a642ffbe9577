"""What a server has before its first client: a socket to listen on, and a secret."""

import os
import secrets
import socket
from pathlib import Path

from semgap.errors import ServerError
from semgap.server.endpoint import ServerSettings


def listen(settings: ServerSettings) -> socket.socket:
    """The socket on which clients ask for sessions.

    Raises:
        ServerError: the address cannot be had.
    """
    try:
        listener = socket.create_server((settings.host, settings.port), backlog=64)
        listener.setblocking(False)
        return listener
    except OSError as error:
        raise ServerError(
            f"The server cannot listen at {settings.host}:{settings.port}: {error.strerror}.",
            "Set server.port to a free port (and server.host to an address of this machine), or "
            f"stop the program that holds it ('ss -ltnp sport = :{settings.port}' shows it).",
        ) from error


def write_secret(secret_file: Path) -> bytes:
    """Make the secret that clients must know, in a file that its owner alone can read."""
    secret = secrets.token_hex(32).encode()
    secret_file.unlink(missing_ok=True)
    descriptor = os.open(secret_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)
    return secret
