"""Plain TCP as a transport: typed headers, tensors from and into their own memory, no pickle."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

import msgspec
import torch
from torch import Tensor

from semgap.errors import TransportError, WorkerLostError
from semgap.plumbing.tcp_sockets import prefer_unpaced
from semgap.policy import TensorClass
from semgap.protocol import Reply, Request
from semgap.transport import (
    Channel,
    Framing,
    Handler,
    ReplyMessage,
    RequestMessage,
    Tensors,
    Timeouts,
)
from semgap.transport.tcp_parts.host_memory import HostMemory
from semgap.transport.tcp_parts.tcp_frames import (
    PREFIX,
    REPLIES,
    REQUESTS,
    Envelope,
    Layout,
    decode,
    read_prefix,
)
from semgap.transport.tcp_parts.tcp_stream import TcpStream

FRAMING = Framing(message_bytes=150, tensor_bytes=16)

Header = TypeVar("Header", Request, Reply)

# A client needs less time between two decode steps, and the worker is idle then.
_POLL_S = 0.001
# A reply without tensors takes some hundred bytes, and the kernel's note of it as many.
_MOST_OWED = 128


class Memory(Protocol):
    """Where received tensors are put and sent ones are taken from."""

    def prepare(self, layouts: Iterable[Layout]) -> None:
        """Have memory ready for groups that may come next."""
        ...

    def receive(self, stream: TcpStream, layout: Layout) -> list[Tensor]:
        """Receive a group of tensors."""
        ...

    def wait_for_copies(self) -> None:
        """Wait until what was received is on the device."""
        ...

    def send(self, stream: TcpStream, header: Request | Reply, tensors: Tensors) -> int:
        """Send a message; returns the monotonic clock when it was ready to go."""
        ...


class TcpChannel(Channel):
    """The client's side of a session, over one connection."""

    def __init__(self, stream: TcpStream) -> None:
        self._stream = stream
        self._memory = HostMemory()
        self._incoming = _Incoming(stream, self._memory, REPLIES)
        self._owed = 0
        self._posted: list[Reply] = []

    def request(self, message: RequestMessage) -> ReplyMessage:
        serialised_ns = self._send(message)
        self._collect(0)
        posted, self._posted = self._posted, []
        header, tensors, departing_ns = self._receive()
        return ReplyMessage(header, tensors, serialised_ns, departing_ns, posted=posted)

    def post(self, _message: RequestMessage) -> None:
        # With more replies than the buffers hold, each side would wait for the other.
        if self._owed >= _MOST_OWED:
            self._collect(_MOST_OWED // 2)
        self._send(_message)
        self._owed += 1

    def _send(self, message: RequestMessage) -> int:
        with self._closed_after_error():
            return self._memory.send(self._stream, message.header, message.tensors)

    def _collect(self, owed: int) -> None:
        """Receive replies to what was posted, until no more than so many are owed."""
        while self._owed > owed:
            self._posted.append(self._receive()[0])
            self._owed -= 1

    def _receive(self) -> tuple[Reply, Tensors, int]:
        with self._closed_after_error():
            answer = self._incoming.next()
        if answer is None:
            raise WorkerLostError(
                "The worker has hung up.", "Look at the server's log for what became of it."
            )
        return answer

    @contextlib.contextmanager
    def _closed_after_error(self) -> Iterator[None]:
        """A late reply must not be taken for the reply to another request."""
        try:
            yield
        except TransportError:
            self._stream.close()
            raise

    def close(self) -> None:
        self._stream.close()


class _Incoming(Generic[Header]):
    """The messages that arrive on a stream."""

    def __init__(
        self, stream: TcpStream, memory: Memory, decoder: msgspec.msgpack.Decoder[Envelope[Header]]
    ) -> None:
        self._stream = stream
        self._memory = memory
        self._decoder: msgspec.msgpack.Decoder[Envelope[Header]] = decoder
        self._expected: Iterable[Layout] = ()

    def next(self) -> tuple[Header, dict[TensorClass, list[Tensor]], int] | None:
        """The next message and its sender's clock; None if the other side has hung up instead."""
        # Most messages repeat the previous layout, so allocate its memory while waiting.
        self._memory.prepare(self._expected)
        prefix = self._stream.receive(PREFIX.size)
        if prefix is None:
            return None
        header_bytes, payload_bytes, departing_ns = read_prefix(prefix)
        encoded = self._stream.receive(header_bytes) or b""
        header, layouts = decode(self._decoder, encoded, payload_bytes)
        self._expected = layouts.values()
        tensors = {
            name: self._memory.receive(self._stream, layout) for name, layout in layouts.items()
        }
        return header, tensors, departing_ns


def serve(
    host: str, port: int, handler: Handler, timeouts: Timeouts, say_ready: Callable[[], None]
) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        prefer_unpaced(listener)
        listener.bind((host, port))
        listener.listen(1)
        listener.settimeout(timeouts.connect_s)
        say_ready()
        try:
            accepted, _peer = listener.accept()
        except TimeoutError as error:
            raise TransportError(
                f"No client came to {host}:{port} in {timeouts.connect_s:g} s.",
                "Look at the benchmark job's log for why it did not connect.",
            ) from error
    # No time-out: the client may compute for any time between two requests.
    stream = TcpStream(accepted, timeout_s=0, poll_s=_POLL_S)
    memory = _memory_of(handler.device)
    incoming = _Incoming(stream, memory, REQUESTS)
    try:
        while (message := incoming.next()) is not None:
            header, tensors, _departing_ns = message
            received_ns = time.monotonic_ns()
            memory.wait_for_copies()
            request = RequestMessage(header, tensors, received_ns, time.monotonic_ns())
            reply = handler.handle(request)
            memory.send(stream, reply.header, reply.tensors)
            handler.discard()
            # Free this message's memory for the next one.
            del message, tensors, request, reply
    finally:
        stream.close()


def connect(host: str, port: int, timeouts: Timeouts) -> TcpChannel:
    connecting = socket.socket()
    try:
        prefer_unpaced(connecting)
        connecting.settimeout(timeouts.connect_s)
        connecting.connect((host, port))
    except OSError as error:
        connecting.close()
        raise TransportError(
            f"No connection to the worker at {host}:{port}: {error}.",
            "Look at the server's log for what became of the worker.",
        ) from error
    return TcpChannel(TcpStream(connecting, timeouts.step_s, timeouts.poll_s))


def _memory_of(device: torch.device) -> Memory:
    if device.type == "cpu":
        return HostMemory()
    # Pinned memory and copy streams exist where there is a GPU alone.
    from semgap.transport.tcp_parts.cuda_memory import CudaMemory

    return CudaMemory(device)
