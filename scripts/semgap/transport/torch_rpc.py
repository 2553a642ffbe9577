"""PyTorch RPC (TensorPipe) as a transport, made to cross TCP whatever the two hosts share.

By default TensorPipe moves tensors between processes of one host through shared memory, where no
capture can see them, so both sides name the transport and the channel that go through sockets.

PyTorch RPC unpickles what it receives: it is for trusted networks only.
"""

import contextlib
import itertools
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import torch
from torch import Tensor
from torch.distributed import rpc

from semgap.errors import TransportError, WorkerLostError
from semgap.policy import TensorClass
from semgap.protocol import Reply, Request
from semgap.transport.transport_contract import (
    Channel,
    Handler,
    ReplyMessage,
    RequestMessage,
    Tensors,
    Timeouts,
)

_WORKER = "worker"
_CLIENT = "client"

# What crosses in one call: the encoded header with the number of tensors of each class, then the
# tensors themselves, which TensorPipe sends from their own memory.
_Wire = tuple[bytes, list[Tensor]]


class _RequestEnvelope(msgspec.Struct):
    header: Request
    counts: list[tuple[TensorClass, int]]


class _ReplyEnvelope(msgspec.Struct):
    header: Reply
    counts: list[tuple[TensorClass, int]]


_ENCODER = msgspec.msgpack.Encoder()
_REQUESTS = msgspec.msgpack.Decoder(_RequestEnvelope)
_REPLIES = msgspec.msgpack.Decoder(_ReplyEnvelope)


def _counts(tensors: Tensors) -> list[tuple[TensorClass, int]]:
    return [(tensor_class, len(group)) for tensor_class, group in tensors.items()]


def _flat(tensors: Tensors) -> list[Tensor]:
    return list(itertools.chain.from_iterable(tensors.values()))


def _grouped(counts: Sequence[tuple[TensorClass, int]], flat: Sequence[Tensor]) -> Tensors:
    remaining = iter(flat)
    return {name: list(itertools.islice(remaining, count)) for name, count in counts}


class _Endpoint:
    """Lives in the worker; the client holds a remote reference to it."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._settling = ThreadPoolExecutor(max_workers=1)

    def handle(self, header: bytes, tensors: list[Tensor]) -> _Wire:
        received_ns = time.monotonic_ns()
        request = _REQUESTS.decode(header)
        delivered = [tensor.to(self._handler.device) for tensor in tensors]
        reply = self._handler.handle(
            RequestMessage(request.header, _grouped(request.counts, delivered), received_ns)
        )
        # PyTorch RPC sends the reply once this returns: settling must not hold it back.
        self._settling.submit(self._handler.settle)
        return (
            _ENCODER.encode(_ReplyEnvelope(reply.header, _counts(reply.tensors))),
            [tensor.cpu() for tensor in _flat(reply.tensors)],
        )


class _Registry:
    """Hands the process's one handler to the client that asks for it by RPC.

    PyTorch RPC addresses functions by name, so the object behind the name has to be reachable from
    the module; it is set once by ``serve`` in a process that serves one session.
    """

    endpoint: _Endpoint


def _worker_endpoint() -> _Endpoint:
    return _Registry.endpoint


class TorchRpcChannel(Channel):
    """The client's member of a two-rank RPC group that lives as long as its session."""

    def __init__(
        self, endpoint: "torch._C._distributed_rpc.PyRRef[_Endpoint]", timeouts: Timeouts
    ) -> None:
        self._endpoint: torch._C._distributed_rpc.PyRRef[_Endpoint] | None = endpoint
        self._timeouts = timeouts

    def request(self, message: RequestMessage) -> ReplyMessage:
        if self._endpoint is None:
            raise WorkerLostError("The session is closed.", "Open another one.")
        envelope = _ENCODER.encode(_RequestEnvelope(message.header, _counts(message.tensors)))
        flat = _flat(message.tensors)
        serialised_ns = time.monotonic_ns()
        try:
            header, tensors = self._endpoint.rpc_sync(timeout=self._timeouts.step_s).handle(
                envelope, flat
            )
        except RuntimeError as error:
            raise WorkerLostError(
                f"The worker did not answer: {_first_line(error)}.",
                "Look at the server's log; if the worker was only slow, raise "
                "server.step_timeout_s.",
            ) from error
        reply = _REPLIES.decode(header)
        return ReplyMessage(reply.header, _grouped(reply.counts, tensors), serialised_ns)

    def close(self) -> None:
        self._endpoint = None
        try:
            with _without_backend_warning():
                rpc.shutdown(timeout=max(1, round(self._timeouts.connect_s)))
        except RuntimeError as error:
            raise WorkerLostError(
                f"The worker did not end its side of the session: {_first_line(error)}.",
                "Look at the server's log for what became of the worker.",
            ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")


@contextlib.contextmanager
def _without_backend_warning() -> Iterator[None]:
    """PyTorch warns of its own use of a deprecated class when a group forms and ends."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are using a Backend", category=UserWarning)
        yield


def _options(host: str, port: int, timeouts: Timeouts) -> rpc.TensorPipeRpcBackendOptions:
    return rpc.TensorPipeRpcBackendOptions(
        num_worker_threads=4,
        rpc_timeout=timeouts.connect_s,
        init_method=f"tcp://{host}:{port}",
        _transports=["uv"],
        _channels=["basic"],
    )


def serve(
    host: str, port: int, handler: Handler, timeouts: Timeouts, say_ready: Callable[[], None]
) -> None:
    _Registry.endpoint = _Endpoint(handler)
    # The group forms when both are there, whoever comes first: a client may come from now on.
    say_ready()
    with _without_backend_warning():
        rpc.init_rpc(
            _WORKER, rank=0, world_size=2, rpc_backend_options=_options(host, port, timeouts)
        )
        # Returns when the client has shut down its side too.
        rpc.shutdown()


def connect(host: str, port: int, timeouts: Timeouts) -> TorchRpcChannel:
    try:
        with _without_backend_warning():
            rpc.init_rpc(
                _CLIENT, rank=1, world_size=2, rpc_backend_options=_options(host, port, timeouts)
            )
        return TorchRpcChannel(rpc.remote(_WORKER, _worker_endpoint), timeouts)
    except RuntimeError as error:
        raise TransportError(
            f"No PyTorch RPC group with the worker at {host}:{port}: {_first_line(error)}.",
            "Look at the server's log for what became of the worker.",
        ) from error
