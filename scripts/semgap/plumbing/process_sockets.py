"""Which TCP sockets belong to a process, as the kernel says."""

import ipaddress

import psutil

from semgap.plumbing.connections import ProcessSockets, SocketPair


def sockets_of(pid: int) -> ProcessSockets:
    """TCP sockets of a process and its children."""
    process = psutil.Process(pid)
    sockets = [
        one
        for member in (process, *process.children(recursive=True))
        for one in member.net_connections(kind="tcp")
    ]
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
