"""A connected TCP socket that moves whole buffers: all of them, or an error."""

import os
import socket
import time
from collections.abc import Sequence
from typing import Any

from semgap.errors import WorkerLostError
from semgap.plumbing.tcp_sockets import set_receive_timeout, set_send_timeout

# Anything with the buffer protocol whose bytes are in one piece and counted one by one.
Buffer = Any

_MAX_BUFFERS = os.sysconf("SC_IOV_MAX")
_EARLY_BYTES = 1 << 12
_SLOW_REMEDY = "Look at the server's log; if the worker was only slow, raise server.step_timeout_s."


class TcpStream:
    """Sends and receives by as few system calls as there can be.

    Args:
        timeout_s: longest wait within one system call; 0 waits for ever.
        poll_s: how long to look for the next message before going to sleep. Waking up takes a
            tenth of a millisecond in a virtual machine.
    """

    def __init__(self, connected: socket.socket, timeout_s: float, poll_s: float = 0.0) -> None:
        # A blocking socket with time-outs in the kernel: Python's own would poll before each call.
        connected.setblocking(True)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        set_receive_timeout(connected, timeout_s)
        set_send_timeout(connected, timeout_s)
        self._socket = connected
        self._timeout_s = timeout_s
        self._poll_ns = int(poll_s * 1e9)
        self._early = memoryview(bytearray(_EARLY_BYTES))
        self._begin = self._end = 0

    def send(self, buffers: Sequence[Buffer], size_bytes: int) -> None:
        """Send buffers of together ``size_bytes``, straight from where they are.

        Raises:
            WorkerLostError: the other side is gone or takes nothing any more.
        """
        try:
            sent = self._socket.sendmsg(
                buffers if len(buffers) <= _MAX_BUFFERS else buffers[:_MAX_BUFFERS]
            )
            while sent < size_bytes:
                buffers = _after(buffers, sent)
                size_bytes -= sent
                sent = self._socket.sendmsg(buffers[:_MAX_BUFFERS])
        except BlockingIOError:
            raise WorkerLostError(
                f"The other side took nothing for {self._timeout_s:g} s.", _SLOW_REMEDY
            ) from None
        except OSError as error:
            raise _lost(f"broke off: {error.strerror}") from error

    def peek(self, size_bytes: int) -> memoryview | None:
        """All bytes that are here, at least so many; None if the other side has hung up instead.

        They stay where they are. One system call takes in all of a small message and the beginning
        of a large one. The view is valid until the next call.

        Raises:
            WorkerLostError: the connection ended within these bytes, or fell silent.
        """
        while self._end - self._begin < size_bytes:
            if self._begin or size_bytes > self._early.nbytes:
                self._make_room(size_bytes)
            received = self._receive_soon(self._early[self._end :])
            if not received:
                if self._end:
                    raise _lost("broke off within a message")
                return None
            self._end += received
        return self._early[self._begin : self._end]

    def skip(self, size_bytes: int) -> None:
        """Pass over bytes that were peeked at."""
        self._begin += size_bytes
        if self._begin == self._end:
            self._begin = self._end = 0

    def receive_into(self, buffer: Buffer, size_bytes: int) -> None:
        """Fill a buffer.

        Raises:
            WorkerLostError: the connection ended or fell silent before it was full.
        """
        view = memoryview(buffer)
        early_bytes = min(size_bytes, self._end - self._begin)
        if early_bytes:
            view[:early_bytes] = self._early[self._begin : self._begin + early_bytes]
            self.skip(early_bytes)
        while early_bytes < size_bytes:
            received = self._receive(view[early_bytes:size_bytes], socket.MSG_WAITALL)
            if not received:
                raise _lost("broke off within a message")
            early_bytes += received

    def _make_room(self, size_bytes: int) -> None:
        """Move what is here to the front of a buffer that holds so many bytes."""
        rest = self._early[self._begin : self._end]
        if size_bytes > self._early.nbytes:
            self._early = memoryview(bytearray(size_bytes))
        self._early[: rest.nbytes] = rest
        self._begin, self._end = 0, rest.nbytes

    def _receive_soon(self, view: memoryview) -> int:
        end_ns = time.monotonic_ns() + self._poll_ns
        while time.monotonic_ns() < end_ns:
            try:
                return self._socket.recv_into(view, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except OSError as error:
                raise _lost(f"broke off: {error.strerror}") from error
        return self._receive(view, 0)

    def _receive(self, view: memoryview, flags: int) -> int:
        try:
            return self._socket.recv_into(view, 0, flags)
        except BlockingIOError:
            raise WorkerLostError(
                f"The other side sent nothing for {self._timeout_s:g} s.", _SLOW_REMEDY
            ) from None
        except OSError as error:
            raise _lost(f"broke off: {error.strerror}") from error

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def _after(buffers: Sequence[Buffer], sent: int) -> list[Buffer]:
    """What remains of some buffers when their first ``sent`` bytes are gone."""
    for index, buffer in enumerate(buffers):
        view = memoryview(buffer)
        if sent < view.nbytes:
            return [view[sent:], *buffers[index + 1 :]]
        sent -= view.nbytes
    return []


def _lost(what: str) -> WorkerLostError:
    return WorkerLostError(
        f"The connection between client and worker {what}.",
        "Look at the server's log for what became of the worker.",
    )
