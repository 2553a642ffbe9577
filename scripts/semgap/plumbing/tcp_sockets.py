"""TCP sockets: ports, interfaces, and options that ``socket`` leaves as raw bytes."""

import contextlib
import socket
import struct

import psutil

# Pacing halves the rate between two processes of one machine. In order of preference for long
# links.
_CONGESTION_CONTROLS = (b"cubic", b"reno")


def free_port(host: str) -> int:
    """A TCP port of ``host`` that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def interface_towards(host: str) -> str:
    """The name of the interface whose address this machine has in connections with ``host``.

    Raises:
        OSError: there is no way to ``host``.
    """
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        # Nothing is sent: the kernel only chooses the way.
        probe.connect((host, 9))
        here = probe.getsockname()[0]
    name: str
    for name, addresses in psutil.net_if_addrs().items():
        if here in (one.address for one in addresses):
            return name
    raise OSError(f"no interface has the address {here}")


def set_receive_timeout(connected: socket.socket, timeout_s: float) -> None:
    """Let a blocking receive fail with ``BlockingIOError`` after so long; 0 waits for ever."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(timeout_s))


def set_send_timeout(connected: socket.socket, timeout_s: float) -> None:
    """Let a blocking send fail with ``BlockingIOError`` after so long; 0 waits for ever."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(timeout_s))


def prefer_unpaced(unconnected: socket.socket) -> str:
    """Choose a congestion control that sends as fast as it is acknowledged.

    What a listening socket has, the connections it accepts inherit.

    Returns:
        The name of the congestion control in use: the system's own, where it permits no other.
    """
    for name in _CONGESTION_CONTROLS:
        with contextlib.suppress(OSError):
            unconnected.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name)
            break
    return congestion_control_of(unconnected)


def congestion_control_of(tcp_socket: socket.socket) -> str:
    """The name of the congestion control that a socket uses."""
    used = tcp_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
    return used.rstrip(b"\0").decode()


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("ll", whole, int((seconds - whole) * 1e6))
