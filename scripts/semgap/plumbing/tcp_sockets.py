"""TCP sockets: whose they are, what the kernel counts of them, ports, interfaces, options."""

import contextlib
import ctypes
import errno
import functools
import ipaddress
import os
import socket
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

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


# struct tcp_info of linux/tcp.h: bytes_acked and bytes_received follow 8 bytes, 24 words of 32 bits
# and two pacing rates; data_segs_in and data_segs_out, then bytes_retrans, since Linux 4.19.
_BYTES = struct.Struct("=120x QQ 16x II 48x Q")
_WHOLE = 256
# Its number in each architecture's table of system calls that Linux has added to since 2019.
_PIDFD_GETFD = 438


class TcpCounters(NamedTuple):
    """Since a connection was made."""

    acked_bytes: int  # payload that was sent and that the other side has confirmed
    received_bytes: int  # payload in order, each byte once
    received_segments: int  # segments with payload
    sent_segments: int
    retransmitted_bytes: int  # payload that was sent again


@functools.cache
def kernel_counts_bytes() -> bool:
    """Whether the kernel counts a connection's bytes, tried with one of this process.

    Linux before 4.19 and sandboxes of their own (gVisor) leave the counters out, or 0.
    """
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as sender,
    ):
        receiver, _address = server.accept()
        with receiver:
            sender.sendall(b"x")
            receiver.recv(1)
            info = receiver.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WHOLE)
    return len(info) >= _BYTES.size and _counters(info).received_bytes == 1


def own_tcp_counters() -> dict[int, TcpCounters]:
    """Counters of each connection that this process has with another one, by the socket's inode."""
    return _with_others(_connections("self", os.dup))


def tcp_counters_of(pid: int) -> dict[int, TcpCounters]:
    """The same for a process that this one may trace, such as its child, and for its children.

    Raises:
        OSError: this one may not, or the kernel is older than Linux 5.6.
    """
    found: dict[int, TcpCounters] = {}
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        there = os.pidfd_open(process.pid)
        try:
            duplicate = functools.partial(_duplicate_from, there)
            found |= _with_others(_connections(str(process.pid), duplicate))
        finally:
            os.close(there)
    return found


def _duplicate_from(pidfd: int, descriptor: int) -> int:
    """A duplicate of another process's descriptor: pidfd_getfd(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    duplicate = int(libc.syscall(_PIDFD_GETFD, pidfd, descriptor, 0))
    # A descriptor that has been closed meanwhile is none; what may not be done is an error.
    if duplicate < 0 and ctypes.get_errno() == errno.EBADF:
        raise FileNotFoundError
    if duplicate < 0:
        raise PermissionError(ctypes.get_errno(), "pidfd_getfd failed")
    return duplicate


def _with_others(
    connections: Iterable[tuple[int, tuple[object, object, TcpCounters]]],
) -> dict[int, TcpCounters]:
    """Without both ends of those that a process has with itself."""
    found = dict(connections)
    own_ends = {(local, remote) for local, remote, _counters in found.values()}
    return {
        inode: counters
        for inode, (local, remote, counters) in found.items()
        if (remote, local) not in own_ends
    }


def _connections(
    process: str, duplicate: Callable[[int], int]
) -> Iterator[tuple[int, tuple[object, object, TcpCounters]]]:
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        try:
            if not str(descriptor.readlink()).startswith("socket:"):
                continue
            one = socket.socket(fileno=duplicate(int(descriptor.name)))
        except PermissionError:
            raise
        except OSError:
            # It has been closed while this goes through them.
            continue
        # What has no peer yet is no connection.
        with one, contextlib.suppress(OSError):
            if one.family in (socket.AF_INET, socket.AF_INET6):
                inode = os.fstat(one.fileno()).st_ino
                info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WHOLE)
                yield inode, (one.getsockname()[:2], one.getpeername()[:2], _counters(info))


def payload_between(
    before: Mapping[int, TcpCounters], after: Mapping[int, TcpCounters]
) -> TcpCounters:
    """By how much the counters of all connections grew; one that is new counts from its begin."""
    new = TcpCounters(0, 0, 0, 0, 0)
    grown = (
        [now - then for now, then in zip(counters, before.get(inode, new), strict=True)]
        for inode, counters in after.items()
    )
    return TcpCounters(*map(sum, zip(new, *grown, strict=True)))


def _counters(info: bytes) -> TcpCounters:
    acked, received, segments_in, segments_out, again = _BYTES.unpack_from(
        info.ljust(_BYTES.size, b"\0")
    )
    return TcpCounters(acked, received, segments_in, segments_out, again)
