"""A connected TCP socket that moves whole buffers: all of them, or an error."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any

from semgap.errors import WorkerLostError
from semgap.socket_options import set_receive_timeout, set_send_timeout

# Anything with the buffer protocol whose bytes are in one piece.
Buffer = Any

_MAX_BUFFERS = os.sysconf("SC_IOV_MAX")


class TcpStream:
    """Sends and receives by as few system calls as there can be.

    Args:
        timeout_s: longest wait within one system call; 0 waits for ever.
    """

    def __init__(self, connected: socket.socket, timeout_s: float) -> None:
        # A blocking socket with time-outs in the kernel: Python's own would poll before each call.
        connected.setblocking(True)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        set_receive_timeout(connected, timeout_s)
        set_send_timeout(connected, timeout_s)
        self._socket = connected
        self._timeout_s = timeout_s

    def send(self, buffers: Sequence[Buffer], size_bytes: int) -> None:
        """Send buffers of together ``size_bytes``, straight from where they are.

        Raises:
            WorkerLostError: the other side is gone or takes nothing any more.
        """
        try:
            sent = self._socket.sendmsg(buffers[:_MAX_BUFFERS])
            while sent < size_bytes:
                buffers = _after(buffers, sent)
                size_bytes -= sent
                sent = self._socket.sendmsg(buffers[:_MAX_BUFFERS])
        except BlockingIOError:
            raise self._timed_out("took nothing") from None
        except OSError as error:
            raise _lost(f"broke off: {error.strerror}") from error

    def receive_first(self, buffer: Buffer, size_bytes: int) -> bool:
        """Fill a buffer with how a message begins; False if the other side has hung up instead.

        Raises:
            WorkerLostError: the connection ended or fell silent within the buffer.
        """
        return self._received(buffer, size_bytes) == size_bytes

    def receive_into(self, buffer: Buffer, size_bytes: int) -> None:
        """Fill a buffer.

        Raises:
            WorkerLostError: the connection ended or fell silent before it was full.
        """
        if self._received(buffer, size_bytes) < size_bytes:
            raise _lost("broke off within a message")

    def _received(self, buffer: Buffer, size_bytes: int) -> int:
        """Receive all bytes, or none if the other side has hung up before the first."""
        try:
            received = self._socket.recv_into(buffer, size_bytes, socket.MSG_WAITALL)
            if 0 < received < size_bytes:
                received += self._rest_of(memoryview(buffer).cast("B")[received:size_bytes])
            return received
        except BlockingIOError:
            raise self._timed_out("sent nothing") from None
        except OSError as error:
            raise _lost(f"broke off: {error.strerror}") from error

    def _rest_of(self, view: memoryview) -> int:
        size_bytes = view.nbytes
        while view.nbytes:
            received = self._socket.recv_into(view, view.nbytes, socket.MSG_WAITALL)
            if received == 0:
                raise _lost("broke off within a message")
            view = view[received:]
        return size_bytes

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _timed_out(self, what: str) -> WorkerLostError:
        return WorkerLostError(
            f"The other side {what} for {self._timeout_s:g} s.",
            "Look at the server's log; if the worker was only slow, raise server.step_timeout_s.",
        )


def _after(buffers: Sequence[Buffer], sent: int) -> list[Buffer]:
    """What remains of some buffers when their first ``sent`` bytes are gone."""
    for index, buffer in enumerate(buffers):
        view = memoryview(buffer)
        if sent < view.nbytes:
            return [view.cast("B")[sent:], *buffers[index + 1 :]]
        sent -= view.nbytes
    return []


def _lost(what: str) -> WorkerLostError:
    return WorkerLostError(
        f"The connection between client and worker {what}.",
        "Look at the server's log for what became of the worker.",
    )
