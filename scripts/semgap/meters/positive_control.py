"""Traffic sent on purpose, to prove that a capture sees what this process sends."""

from __future__ import annotations

import socket
import threading

from semgap.records import ControlTraffic, SocketPair

_PAYLOAD_BYTES = 1_000_003


def send_control_traffic(address: str) -> ControlTraffic:
    """Send about 1 MB over a fresh TCP connection from ``address`` to itself."""
    with socket.create_server((address, 0)) as server:
        receiver = threading.Thread(target=_drain, args=(server,))
        receiver.start()
        with socket.create_connection(server.getsockname()) as sender:
            local_ip, local_port = sender.getsockname()[:2]
            remote_ip, remote_port = sender.getpeername()[:2]
            sender.sendall(bytes(_PAYLOAD_BYTES))
        receiver.join()
    return ControlTraffic(
        SocketPair(local_ip, local_port, remote_ip, remote_port), payload_bytes=_PAYLOAD_BYTES
    )


def _drain(server: socket.socket) -> None:
    connection, _peer = server.accept()
    with connection:
        while connection.recv(1 << 20):
            pass
