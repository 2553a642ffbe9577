"""Gloo's send and receive, as PyTorch ships them."""

from datetime import timedelta

import torch
from torch import Tensor
from torch._C._distributed_c10d import ProcessGroup, ProcessGroupGloo, TCPStore

from semgap.linkbench.contenders import TIMEOUT_S, Link, Ready

_CLIENT, _PEER = 0, 1
_END = -1


class _GlooLink(Link):
    def __init__(self, group: ProcessGroup) -> None:
        self._group = group
        self._reply = torch.empty(1, dtype=torch.uint8)

    def exchange(self, payload: Tensor, reply_bytes: int) -> None:
        if self._reply.nbytes < reply_bytes:
            self._reply = torch.empty(reply_bytes, dtype=torch.uint8)
        self._group.send([torch.tensor([payload.nbytes, reply_bytes])], _PEER, 0).wait()
        if payload.nbytes:
            self._group.send([payload], _PEER, 0).wait()
        self._group.recv([self._reply[:reply_bytes]], _PEER, 0).wait()

    def close(self) -> None:
        self._group.send([torch.tensor([_END, 0])], _PEER, 0).wait()


def serve(host: str, port: int, _device: torch.device, say_ready: Ready) -> None:
    """Serve one client; tensors stay on the CPU."""
    say_ready()
    group = _group(host, port, _PEER)
    buffer = torch.zeros(1 << 20, dtype=torch.uint8)
    sizes = torch.zeros(2, dtype=torch.int64)
    while True:
        group.recv([sizes], _CLIENT, 0).wait()
        payload_bytes, reply_bytes = sizes.tolist()
        if payload_bytes == _END:
            return
        if buffer.nbytes < max(payload_bytes, reply_bytes):
            buffer = torch.empty(max(payload_bytes, reply_bytes), dtype=torch.uint8)
        if payload_bytes:
            group.recv([buffer[:payload_bytes]], _CLIENT, 0).wait()
        group.send([buffer[:reply_bytes]], _CLIENT, 0).wait()


def connect(host: str, port: int) -> Link:
    """Form the group of two with the peer."""
    return _GlooLink(_group(host, port, _CLIENT))


def _group(host: str, port: int, rank: int) -> ProcessGroup:
    timeout = timedelta(seconds=TIMEOUT_S)
    store = TCPStore(host, port, 2, is_master=rank == _PEER, timeout=timeout)
    options = ProcessGroupGloo._Options()  # type: ignore[attr-defined]
    options._devices = [ProcessGroupGloo.create_device(hostname=host)]
    options._timeout = timeout
    return ProcessGroupGloo(store, rank, 2, options)  # type: ignore[return-value]
