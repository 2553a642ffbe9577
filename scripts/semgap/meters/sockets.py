"""Which TCP connections belong to a process, as the kernel says."""

from __future__ import annotations

import psutil

from semgap.records import SocketPair


def sockets_of(pid: int) -> tuple[SocketPair, ...]:
    """TCP connections of a process and its children that have a peer."""
    process = psutil.Process(pid)
    return tuple(
        SocketPair(
            local_ip=connection.laddr.ip,
            local_port=connection.laddr.port,
            remote_ip=connection.raddr.ip,
            remote_port=connection.raddr.port,
        )
        for member in (process, *process.children(recursive=True))
        for connection in member.net_connections(kind="tcp")
        if connection.raddr
    )
