"""PyTorch RPC (TensorPipe) as a transport, made to cross TCP whatever the two hosts share.

By default TensorPipe moves tensors between processes of one host through shared memory, where no
capture can see them, so both sides name the transport and the channel that go through sockets.

PyTorch RPC unpickles what it receives: it is for trusted networks only.
"""

import contextlib
import itertools
import os
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Generic, TypeVar

import msgspec
from torch import Tensor
from torch.distributed import DistNetworkError, rpc

from semgap.errors import TransportError, WorkerLostError
from semgap.plumbing.tcp_sockets import interface_towards
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

FRAMING = Framing(message_bytes=600, tensor_bytes=105)

_WORKER = "worker"
_CLIENT = "client"
_LOOK = "Look at the server's log for what became of the worker."

Header = TypeVar("Header")
# What crosses in one call: an encoded envelope, then the tensors themselves, which TensorPipe sends
# from their own memory.
_Wire = tuple[bytes, list[Tensor]]


class _Envelope(msgspec.Struct, Generic[Header]):
    header: Header
    counts: list[tuple[TensorClass, int]]  # tensors of each class
    departing_ns: int  # the sender's monotonic clock when it had all of this in its host's memory


_ENCODER = msgspec.msgpack.Encoder()
_REQUESTS = msgspec.msgpack.Decoder(_Envelope[Request])
_REPLIES = msgspec.msgpack.Decoder(_Envelope[Reply])


def _packed(header: Request | Reply, tensors: Tensors) -> _Wire:
    counts = [(tensor_class, len(group)) for tensor_class, group in tensors.items()]
    flat = [tensor.cpu() for tensor in itertools.chain.from_iterable(tensors.values())]
    return _ENCODER.encode(_Envelope(header, counts, time.monotonic_ns())), flat


def _unpacked(
    decoder: "msgspec.msgpack.Decoder[_Envelope[Header]]", encoded: bytes, flat: list[Tensor]
) -> tuple[Header, Tensors, int]:
    envelope = decoder.decode(encoded)
    remaining = iter(flat)
    tensors = {name: list(itertools.islice(remaining, count)) for name, count in envelope.counts}
    return envelope.header, tensors, envelope.departing_ns


class _Endpoint:
    """The worker's handler, behind messages as they cross."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        # PyTorch RPC calls from several threads, and each would bring a team of compute threads of
        # its own: with more of them than processors, OpenMP's barriers wait for the scheduler.
        self._serving = ThreadPoolExecutor(max_workers=1)

    def handle(self, encoded: bytes, tensors: list[Tensor]) -> _Wire:
        received_ns = time.monotonic_ns()
        delivered = [tensor.to(self._handler.device) for tensor in tensors]
        delivered_ns = time.monotonic_ns()
        header, groups, _departing_ns = _unpacked(_REQUESTS, encoded, delivered)
        request = RequestMessage(header, groups, received_ns, delivered_ns)
        reply = self._serving.submit(self._handler.handle, request).result()
        # PyTorch RPC sends the reply once this returns: discarding must not hold it back.
        self._serving.submit(self._handler.discard)
        return _packed(reply.header, reply.tensors)


class _Registry:
    """What the client reaches in the worker's process.

    PyTorch RPC addresses functions by name, so the object behind the name has to be reachable from
    the module; it is set once by ``serve`` in a process that serves one session. A remote reference
    to it would cost a round trip of its own with each request.
    """

    endpoint: _Endpoint


def _handle(encoded: bytes, tensors: list[Tensor]) -> _Wire:
    return _Registry.endpoint.handle(encoded, tensors)


class _Client:
    """Whether this process has had a session as its client.

    PyTorch numbers the groups of a process and both sides must count alike, but each worker process
    is in its first one: a second group would wait for ever.
    """

    had_session = False


class TorchRpcChannel(Channel):
    """The client's member of a two-rank RPC group that lives as long as its session."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._is_open = True

    def request(self, message: RequestMessage) -> ReplyMessage:
        if not self._is_open:
            raise WorkerLostError("The session is closed.", "Open another one.")
        request = _packed(message.header, message.tensors)
        serialised_ns = time.monotonic_ns()
        try:
            reply = rpc.rpc_sync(_WORKER, _handle, request, timeout=self._timeouts.step_s)
        except RuntimeError as error:
            raise WorkerLostError(
                f"The worker did not answer: {_first_line(error)}.",
                "Look at the server's log; if the worker was only slow, raise "
                "server.step_timeout_s.",
            ) from error
        header, tensors, departing_ns = _unpacked(_REPLIES, *reply)
        return ReplyMessage(header, tensors, serialised_ns, departing_ns)

    def close(self) -> None:
        self._is_open = False
        try:
            with _without_backend_warning():
                rpc.shutdown(timeout=max(1, round(self._timeouts.connect_s)))
        except DistNetworkError:
            # Both sides ask the group's store only after they have agreed to end. It lives in the
            # worker's process, which may end while this side still reads its last entry.
            return
        except RuntimeError as error:
            raise WorkerLostError(
                f"The worker did not end its side of the session: {_first_line(error)}.", _LOOK
            ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")


@contextlib.contextmanager
def _without_backend_warning() -> Iterator[None]:
    """PyTorch warns of its own use of a deprecated class when a group forms and ends."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are using a Backend", category=UserWarning)
        yield


def _join_group(name: str, rank: int, host: str, port: int, timeouts: Timeouts) -> None:
    # Otherwise both listen where this machine's name leads, which may be another network.
    for variable in ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME"):
        os.environ.setdefault(variable, interface_towards(host))
    # PyTorch gives a group 24 days to form, though the other side may have died meanwhile.
    rpc.constants.DEFAULT_PROCESS_GROUP_TIMEOUT = timedelta(seconds=timeouts.connect_s)
    options = rpc.TensorPipeRpcBackendOptions(
        num_worker_threads=4,
        rpc_timeout=timeouts.connect_s,
        init_method=f"tcp://{host}:{port}",
        _transports=["uv"],
        _channels=["basic"],
    )
    with _without_backend_warning():
        rpc.init_rpc(name, rank=rank, world_size=2, rpc_backend_options=options)


def serve(
    host: str, port: int, handler: Handler, timeouts: Timeouts, say_ready: Callable[[], None]
) -> None:
    _Registry.endpoint = _Endpoint(handler)
    # The group forms when both are there, whoever comes first: a client may come from now on.
    say_ready()
    _join_group(_WORKER, 0, host, port, timeouts)
    with _without_backend_warning():
        # Returns when the client has shut down its side too.
        rpc.shutdown()


def connect(host: str, port: int, timeouts: Timeouts) -> TorchRpcChannel:
    if _Client.had_session:
        raise TransportError(
            "This process has had a PyTorch RPC session, and there is one in a process at most.",
            "Open each session in a process of its own, as benchmark jobs do.",
        )
    _Client.had_session = True
    try:
        _join_group(_CLIENT, 1, host, port, timeouts)
        return TorchRpcChannel(timeouts)
    except (OSError, RuntimeError) as error:
        raise TransportError(
            f"No PyTorch RPC group with the worker at {host}:{port}: {_first_line(error)}.", _LOOK
        ) from error
