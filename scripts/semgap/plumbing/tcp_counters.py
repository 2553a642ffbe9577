"""The kernel's own counters of this process's TCP connections (tcp(7), ``TCP_INFO``)."""

import contextlib
import functools
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# struct tcp_info of linux/tcp.h: bytes_acked and bytes_received follow 8 bytes, 24 words of 32 bits
# and two pacing rates; data_segs_in and data_segs_out, then bytes_retrans, since Linux 4.19.
_BYTES = struct.Struct("=120x QQ 16x II 48x Q")
_WHOLE = 256


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
    found = dict(_connections())
    own_ends = {(local, remote) for local, remote, _counters in found.values()}
    return {
        inode: counters
        for inode, (local, remote, counters) in found.items()
        if (remote, local) not in own_ends
    }


def _connections() -> Iterator[tuple[int, tuple[object, object, TcpCounters]]]:
    for descriptor in Path("/proc/self/fd").iterdir():
        # A descriptor may close while this goes through them, and is a socket or is not.
        with contextlib.suppress(OSError):
            if not str(descriptor.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(descriptor.name))) as one:
                if one.family in (socket.AF_INET, socket.AF_INET6):
                    inode = os.fstat(one.fileno()).st_ino
                    info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WHOLE)
                    yield inode, (one.getsockname()[:2], one.getpeername()[:2], _counters(info))


def _counters(info: bytes) -> TcpCounters:
    acked, received, segments_in, segments_out, again = _BYTES.unpack_from(
        info.ljust(_BYTES.size, b"\0")
    )
    return TcpCounters(acked, received, segments_in, segments_out, again)
