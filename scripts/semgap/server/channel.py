"""A control connection: two proofs of a shared secret, then framed messages; every wait ends.

The handshake: the server sends a nonce; the client answers with a nonce of its own and the proof
that it knows the secret; the server answers with its proof. A proof is an HMAC-SHA256 over the
prover's role and both nonces. A message is its length as 4 bytes, big-endian, and its bytes.
"""

import hashlib
import hmac
import secrets
import socket
import struct
import time
from collections.abc import Iterator

NONCE_BYTES = 32
PROOF_BYTES = hashlib.sha256().digest_size
MAX_MESSAGE_BYTES = 1 << 20
_LENGTH = struct.Struct("!I")
_CHUNK_BYTES = 1 << 16


class UntrustedError(Exception):
    """The other side does not know the secret, or does not speak this protocol."""


def proof(secret: bytes, role: bytes, server_nonce: bytes, client_nonce: bytes) -> bytes:
    """The HMAC by which one side proves that it knows the secret."""
    return hmac.digest(secret, role + server_nonce + client_nonce, "sha256")


class ControlChannel:
    """One end of a control connection; the socket is closed with it."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._received = bytearray()

    def fileno(self) -> int:
        """The socket's descriptor; -1 once closed."""
        return self._socket.fileno()

    @property
    def closed(self) -> bool:
        """Whether this end has been closed."""
        return self._socket.fileno() < 0

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> "ControlChannel":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def send(self, message: bytes, timeout_s: float) -> None:
        """Send a message.

        Raises:
            TimeoutError: the other side did not take it in time.
            OSError: the other side has hung up.
        """
        self.send_raw(_LENGTH.pack(len(message)) + message, timeout_s)

    def receive(self, timeout_s: float) -> bytes:
        """Receive one message.

        Raises:
            TimeoutError: it was not here in time, the whole of it.
            EOFError: the other side has hung up.
            UntrustedError: what came is no message.
        """
        deadline_s = time.monotonic() + timeout_s
        while (message := self._next_message()) is None:
            self._read(deadline_s)
        return message

    def arrived(self) -> Iterator[bytes]:
        """The messages that are here, without waiting; after a poll has said that there is data.

        Raises:
            EOFError: the other side has hung up.
            UntrustedError: what came is no message.
        """
        self._read(time.monotonic())
        while (message := self._next_message()) is not None:
            yield message

    def send_raw(self, data: bytes, timeout_s: float) -> None:
        """Send bytes without a frame."""
        self._socket.settimeout(timeout_s)
        self._socket.sendall(data)

    def receive_raw(self, size: int, timeout_s: float) -> bytes:
        """Receive so many bytes without a frame."""
        deadline_s = time.monotonic() + timeout_s
        while len(self._received) < size:
            self._read(deadline_s)
        return self._take(size)

    def arrived_raw(self, size: int) -> bytes | None:
        """So many bytes without a frame if they are here, without waiting."""
        self._read(time.monotonic())
        return self._take(size) if len(self._received) >= size else None

    def _read(self, deadline_s: float) -> None:
        # At least an instant: a timeout of 0 would mean a non-blocking socket to Python.
        self._socket.settimeout(max(1e-3, deadline_s - time.monotonic()))
        chunk = self._socket.recv(_CHUNK_BYTES)
        if not chunk:
            raise EOFError
        self._received += chunk

    def _next_message(self) -> bytes | None:
        if len(self._received) < _LENGTH.size:
            return None
        (size,) = _LENGTH.unpack_from(self._received)
        if size > MAX_MESSAGE_BYTES:
            raise UntrustedError(f"a message of {size} bytes")
        if len(self._received) < _LENGTH.size + size:
            return None
        self._take(_LENGTH.size)
        return self._take(size)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken


def connect_channel(host: str, port: int, secret: bytes, timeout_s: float) -> ControlChannel:
    """Connect as a client and prove the secret to each other, all within ``timeout_s``.

    Raises:
        OSError: nobody listens there, or the other side hung up.
        TimeoutError: the other side did not answer in time.
        EOFError, UntrustedError: the other side does not know the secret.
    """
    deadline_s = time.monotonic() + timeout_s
    channel = ControlChannel(socket.create_connection((host, port), timeout_s))
    try:
        server_nonce = channel.receive_raw(NONCE_BYTES, deadline_s - time.monotonic())
        client_nonce = secrets.token_bytes(NONCE_BYTES)
        channel.send_raw(
            client_nonce + proof(secret, b"client", server_nonce, client_nonce), timeout_s
        )
        proved = channel.receive_raw(PROOF_BYTES, deadline_s - time.monotonic())
        if not hmac.compare_digest(proved, proof(secret, b"server", server_nonce, client_nonce)):
            raise UntrustedError("a wrong proof")
    except BaseException:
        channel.close()
        raise
    return channel


class Admission:
    """A server's side of the handshake with one client, as far as it has come.

    Args:
        deadline_s: when the client must have proved itself (``time.monotonic``).
    """

    def __init__(self, connected: socket.socket, secret: bytes, deadline_s: float) -> None:
        self.channel = ControlChannel(connected)
        self.deadline_s = deadline_s
        self._secret = secret
        self._nonce = secrets.token_bytes(NONCE_BYTES)
        self.channel.send_raw(self._nonce, timeout_s=1e-3)

    def proceed(self) -> bool:
        """Take in what has arrived; True once the client has proved itself and was answered.

        Raises:
            UntrustedError: the client does not know the secret.
            EOFError, OSError: it has hung up.
        """
        answer = self.channel.arrived_raw(NONCE_BYTES + PROOF_BYTES)
        if answer is None:
            return False
        client_nonce, proved = answer[:NONCE_BYTES], answer[NONCE_BYTES:]
        wanted = proof(self._secret, b"client", self._nonce, client_nonce)
        if not hmac.compare_digest(proved, wanted):
            raise UntrustedError("a wrong proof")
        answer = proof(self._secret, b"server", self._nonce, client_nonce)
        self.channel.send_raw(answer, timeout_s=1e-3)
        return True
