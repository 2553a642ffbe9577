"""What the kernel counts on this process's own TCP connections, whoever opened them."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

# struct tcp_info of linux/tcp.h: tcpi_bytes_acked and tcpi_bytes_received, since Linux 4.1.
_COUNTERS = struct.Struct("<120xQQ")
_DESCRIPTORS = "/proc/self/fd"


class SocketCount(NamedTuple):
    """Payload of connections since they were opened, each byte once.

    Attributes:
        sent_bytes: sent and acknowledged by the other side's kernel.
        received_bytes: received in order.
    """

    sent_bytes: int
    received_bytes: int


class OwnSockets:
    """The TCP connections that this process had with others when it looked.

    A library that moves tensors opens its own sockets, so they are found among all descriptors of
    the process, and read without taking them over.
    """

    def __init__(self, connections: Mapping[str, socket.socket]) -> None:
        self._connections = connections

    @classmethod
    def find(cls) -> OwnSockets:
        """Look through the process's descriptors."""
        connections: dict[str, socket.socket] = {}
        ends: dict[str, tuple[object, object]] = {}
        for name in os.listdir(_DESCRIPTORS):  # noqa: PTH208 - names, a hundred times a job
            with contextlib.suppress(OSError):
                kind = os.readlink(f"{_DESCRIPTORS}/{name}")  # noqa: PTH115 - as above
                if not kind.startswith("socket:"):
                    continue
                own = socket.socket(fileno=int(name))
                try:
                    if own.family in (socket.AF_INET, socket.AF_INET6) and _is_tcp(own):
                        ends[kind] = (own.getsockname()[:2], own.getpeername()[:2])
                        connections[kind] = own
                        continue
                finally:
                    if kind not in connections:
                        own.detach()
        within = {
            kind for kind, (own_end, peer) in ends.items() if (peer, own_end) in ends.values()
        }
        for kind in within:
            connections.pop(kind).detach()
        return cls(connections)

    def count(self) -> dict[str, SocketCount]:
        """What the kernel has counted so far, by the connection's name in /proc."""
        return {kind: _read(own) for kind, own in self._connections.items()}

    def detach(self) -> None:
        """Let go of the descriptors, which belong to whoever opened them."""
        for own in self._connections.values():
            own.detach()


def since(before: Mapping[str, SocketCount], after: Mapping[str, SocketCount]) -> SocketCount:
    """What connections have moved between two counts; one that is new has moved all it counts."""
    none = SocketCount(0, 0)
    return total(
        SocketCount(
            count.sent_bytes - before.get(kind, none).sent_bytes,
            count.received_bytes - before.get(kind, none).received_bytes,
        )
        for kind, count in after.items()
    )


def total(counts: Iterable[SocketCount]) -> SocketCount:
    """The sum over connections."""
    listed = list(counts)
    return SocketCount(
        sum(count.sent_bytes for count in listed), sum(count.received_bytes for count in listed)
    )


def count_own_sockets() -> dict[str, SocketCount]:
    """What the kernel has counted on all TCP connections that this process has now."""
    sockets = OwnSockets.find()
    try:
        return sockets.count()
    finally:
        sockets.detach()


def _is_tcp(own: socket.socket) -> bool:
    return own.type == socket.SOCK_STREAM and own.proto in (0, socket.IPPROTO_TCP)


def _read(own: socket.socket) -> SocketCount:
    info = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _COUNTERS.size)
    return SocketCount(*_COUNTERS.unpack(info))
