"""A connected TCP socket that moves whole buffers: all of them, or an error."""

import os
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from semgap.errors import WorkerLostError
from semgap.plumbing.tcp_sockets import set_receive_timeout, set_send_timeout

# A contiguous object with the buffer protocol and items of one byte.
Buffer = Any
Result = TypeVar("Result")

_MAX_BUFFERS = os.sysconf("SC_IOV_MAX")
_EARLY_BYTES = 1 << 12
# Of more, the rest takes longer to come than waking up takes.
_SMALL_BYTES = 1 << 18


class TcpStream:
    """Sends and receives by as few system calls as there can be.

    Args:
        timeout_s: longest wait within one system call; 0 waits for ever.
        poll_s: how long to look for the next message, or the rest of a small one, before going to
            sleep. Waking up takes a tenth of a millisecond in a virtual machine.
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
        self._early = b""

    def send(self, buffers: Sequence[Buffer], size_bytes: int) -> None:
        """Send buffers of together ``size_bytes``, straight from where they are.

        Raises:
            WorkerLostError: the other side is gone or takes nothing any more.
        """
        while size_bytes:
            sent = self._call("took", self._socket.sendmsg, buffers[:_MAX_BUFFERS])
            size_bytes -= sent
            buffers = _after(buffers, sent) if size_bytes else ()

    def receive(self, size_bytes: int) -> bytes | None:
        """Receive the next bytes of a message; None if the other side has hung up before it.

        One system call takes in all of a small message and the beginning of a large one.

        Raises:
            WorkerLostError: the connection ended within these bytes, or fell silent.
        """
        while len(self._early) < size_bytes:
            most_bytes = max(_EARLY_BYTES, size_bytes - len(self._early))
            chunk = self._receive_soon(partial(self._socket.recv, most_bytes), 0)
            if not chunk and not self._early:
                return None
            self._early += self._still_there(chunk)
        taken, self._early = self._early[:size_bytes], self._early[size_bytes:]
        return taken

    def receive_into(self, buffer: Buffer, size_bytes: int) -> None:
        """Fill a buffer.

        Raises:
            WorkerLostError: the connection ended or fell silent before it was full.
        """
        view = memoryview(buffer)[:size_bytes]
        early, self._early = self._early[:size_bytes], self._early[size_bytes:]
        view[: len(early)] = early
        view = view[len(early) :]
        receive = self._receive_soon if size_bytes <= _SMALL_BYTES else self._receive
        while view:
            received = receive(partial(self._socket.recv_into, view, 0), socket.MSG_WAITALL)
            view = view[self._still_there(received) :]

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _receive_soon(self, receive: Callable[[int], Result], flags: int) -> Result:
        end_ns = time.monotonic_ns() + self._poll_ns
        while time.monotonic_ns() < end_ns:
            try:
                return receive(socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except OSError as error:
                raise _lost(error.strerror) from error
        return self._receive(receive, flags)

    def _receive(self, receive: Callable[[int], Result], flags: int) -> Result:
        return self._call("sent", receive, flags)

    def _call(self, what: str, system_call: Callable[..., Result], *arguments: object) -> Result:
        try:
            return system_call(*arguments)
        except BlockingIOError:
            raise WorkerLostError(
                f"The other side {what} nothing for {self._timeout_s:g} s.",
                "Look at the server's log; if the worker was only slow, raise "
                "server.step_timeout_s.",
            ) from None
        except OSError as error:
            raise _lost(error.strerror) from error

    def _still_there(self, received: Result) -> Result:
        if not received:
            raise _lost("within a message")
        return received


def _after(buffers: Sequence[Buffer], sent: int) -> list[Buffer]:
    """What remains of some buffers when their first ``sent`` bytes are gone."""
    for index, buffer in enumerate(buffers):
        view = memoryview(buffer)
        if sent < view.nbytes:
            return [view[sent:], *buffers[index + 1 :]]
        sent -= view.nbytes
    return []


def _lost(what: str | None) -> WorkerLostError:
    return WorkerLostError(
        f"The connection between client and worker broke off: {what}.",
        "Look at the server's log for what became of the worker.",
    )
