"""Which TCP connections are a session's, and which are somebody else's, as the kernel says."""

import contextlib
import ipaddress
from collections.abc import Collection

import msgspec
import psutil


class SocketPair(msgspec.Struct, frozen=True):
    """The two ends of one TCP connection, as a process sees it."""

    local_ip: str
    local_port: int
    remote_ip: str
    remote_port: int


class ProcessSockets(msgspec.Struct, frozen=True):
    """The TCP sockets of a process."""

    connections: tuple[SocketPair, ...]  # those that have a peer
    listening_ports: tuple[int, ...]  # where it waits for others to connect


def reverse_of(pair: SocketPair) -> SocketPair:
    """The same connection, as its other end sees it."""
    return SocketPair(pair.remote_ip, pair.remote_port, pair.local_ip, pair.local_port)


def session_connections(
    client: Collection[SocketPair], worker: Collection[SocketPair]
) -> frozenset[SocketPair]:
    """Connections between the two processes of a session, as the client sees them."""
    seen_by_worker = {reverse_of(pair) for pair in worker}
    return frozenset(pair for pair in client if pair in seen_by_worker)


def strangers(
    client: Collection[SocketPair], worker: Collection[SocketPair], listening_ports: Collection[int]
) -> list[SocketPair]:
    """Connections that came from outside to where one of the two processes listens.

    Connections that a process has with itself, or opened to somebody else, do not count.
    """
    known = {*client, *worker}
    return [
        pair
        for pair in (*client, *worker)
        if pair.local_port in listening_ports and reverse_of(pair) not in known
    ]


def shown(pair: SocketPair) -> str:
    """A connection, as messages name it."""
    return f"{pair.remote_ip}:{pair.remote_port} to {pair.local_ip}:{pair.local_port}"


def sockets_of(pid: int) -> ProcessSockets:
    """TCP sockets of a process, and of its children as far as it may look into them.

    A child that has ended has none, and one with privileges of its own (tcpdump with file
    capabilities) is closed to a user other than root.
    """
    process = psutil.Process(pid)
    sockets = process.net_connections(kind="tcp")
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.AccessDenied, psutil.NoSuchProcess):
            sockets += child.net_connections(kind="tcp")
    return ProcessSockets(
        connections=tuple(
            SocketPair(_plain(one.laddr.ip), one.laddr.port, _plain(one.raddr.ip), one.raddr.port)
            for one in sockets
            if one.raddr
        ),
        listening_ports=tuple(
            sorted(one.laddr.port for one in sockets if one.status == psutil.CONN_LISTEN)
        ),
    )


def _plain(address: str) -> str:
    """An IPv4 address as such, also where a socket for both kinds has it as an IPv6 address."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
