"""Traffic sent on purpose, to prove that a capture sees what this process sends."""

import contextlib
import socket
import threading

import msgspec

from semgap.errors import CaptureError
from semgap.plumbing.connections import SocketPair


class ProbeTraffic(msgspec.Struct, frozen=True):
    """Bytes sent on purpose over the captured interface, to prove that the capture sees them."""

    socket: SocketPair
    payload_bytes: int


_PAYLOAD_BYTES = 1_000_003
_TIMEOUT_S = 20.0


def send_probe(address: str) -> ProbeTraffic:
    """Send about 1 MB over a fresh TCP connection from ``address`` to itself.

    Raises:
        CaptureError: it does not get through within ``_TIMEOUT_S``.
    """
    try:
        with socket.create_server((address, 0)) as server:
            server.settimeout(_TIMEOUT_S)
            receiver = threading.Thread(target=_drain, args=(server,), daemon=True)
            receiver.start()
            with socket.create_connection(server.getsockname(), _TIMEOUT_S) as sender:
                local_ip, local_port = sender.getsockname()[:2]
                remote_ip, remote_port = sender.getpeername()[:2]
                sender.sendall(bytes(_PAYLOAD_BYTES))
            receiver.join(_TIMEOUT_S)
    except OSError as error:
        raise CaptureError(
            f"Traffic from {address} to itself, sent to test the capture, does not get through: "
            f"{error}.",
            "Set capture.interface_address to an address of this machine, and check that its "
            "interface is up ('ip link set lo up').",
        ) from error
    return ProbeTraffic(
        SocketPair(local_ip, local_port, remote_ip, remote_port), payload_bytes=_PAYLOAD_BYTES
    )


def _drain(server: socket.socket) -> None:
    # The sender meets the same failure and reports it.
    with contextlib.suppress(OSError):
        connection, _peer = server.accept()
        connection.settimeout(_TIMEOUT_S)
        with connection:
            while connection.recv(1 << 20):
                pass
