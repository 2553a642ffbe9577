"""Hold every packet between two interfaces for a while, where the kernel has no ``netem``.

A program of its own, beside one server: ``relay.py NEAR FAR DELAY_S SERVER_PID``. It reads frames
from packet sockets as the interfaces carry them, unsplit and with the kernel's time stamps, so what
it takes to read one is part of the delay. It imports nothing of this package, and ends with the
server.
"""

import contextlib
import os
import select
import socket
import struct
import sys
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

_ETH_P_ALL = 3
_SOL_PACKET = 263
# A frame is preceded by how it is to be split and what checksum it lacks (linux/virtio_net.h).
_PACKET_VNET_HDR = 15
_PACKET_IGNORE_OUTGOING = 23
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
# The header, a frame as large as segmentation offload makes one, and room to see that it fitted.
_MOST_BYTES = 10 + 14 + 65_536 + 100
_WAITING_BYTES = 64_000_000
_AT_ONCE = 32
# A timer fires late and sending takes a while: woken so much earlier, three of four frames arrive
# in time or later. Whatever a busy machine does, none is earlier than by this share of the delay.
_LATE_STEP_NS, _EARLY_STEP_NS = 1_000, 3_000
_MOST_EARLY_NS = 100_000
_MOST_EARLY_SHARE = 0.03


class _Held(NamedTuple):
    due_ns: int  # since 1970, as the kernel stamps frames
    towards: socket.socket
    frame: bytes


def relay(near: str, far: str, delay_s: float, server_pid: int) -> None:
    """Pass frames between two interfaces of this network, each way after a delay, until it ends."""
    one, other = _opened(near), _opened(far)
    ended = os.pidfd_open(server_pid)
    delay_ns = int(delay_s * 1e9)
    held: deque[_Held] = deque()
    early_ns, most_early_ns = 0, min(_MOST_EARLY_NS, int(_MOST_EARLY_SHARE * delay_ns))
    while True:
        wait_s = (held[0].due_ns - early_ns - time.time_ns()) / 1e9 if held else None
        awaited = held[0] if wait_s is not None and wait_s > 0 else None
        timeout_s = None if wait_s is None else max(0.0, wait_s)
        ready, _, _ = select.select([one.fileno(), other.fileno(), ended], [], [], timeout_s)
        if ended in ready:
            return
        for end, towards in ((one, other), (other, one)):
            if end.fileno() in ready:
                held.extend(_frames(end, towards, delay_ns))
        while held and held[0].due_ns - early_ns <= time.time_ns():
            sent = held.popleft()
            # An interface that goes down, or a frame that it cannot carry, is a loss like another.
            with contextlib.suppress(OSError):
                sent.towards.send(sent.frame)
            # Only one that was waited for tells what waking up and sending take.
            if sent is awaited:
                in_time = time.time_ns() <= sent.due_ns
                early_ns += -_EARLY_STEP_NS if in_time else _LATE_STEP_NS
                early_ns = min(max(early_ns, 0), most_early_ns)


def _opened(interface: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    opened.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    opened.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    # Others than this machine's root have the system's limit.
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WAITING_BYTES)
    with contextlib.suppress(PermissionError):
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _WAITING_BYTES)
    opened.bind((interface, _ETH_P_ALL))
    opened.setblocking(False)
    return opened


def _frames(end: socket.socket, towards: socket.socket, delay_ns: int) -> list[_Held]:
    found: list[_Held] = []
    with contextlib.suppress(BlockingIOError):
        while len(found) < _AT_ONCE:
            frame, stamps, _flags, _address = end.recvmsg(_MOST_BYTES, socket.CMSG_SPACE(16))
            seconds, nanoseconds = struct.unpack("qq", stamps[0][2])
            found.append(_Held(seconds * 10**9 + nanoseconds + delay_ns, towards, frame))
    return found


def _in_time() -> None:
    """Be woken when it is time, also beside a worker that computes on every core."""
    with contextlib.suppress(OSError):
        Path("/proc/self/timerslack_ns").write_text("1", encoding="ascii")
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


if __name__ == "__main__":
    _in_time()
    near, far, delay_s, server_pid = sys.argv[1:]
    relay(near, far, float(delay_s), int(server_pid))
