"""The ceiling: whole buffers through the kernel's sockets by Python's C code, nothing around it."""

import socket
import struct
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from semgap.linkbench.contenders import TIMEOUT_S, Link, Ready

_SIZES = struct.Struct("<qq")

# Chooses the congestion control of a socket that is not connected yet.
Prepare = Callable[[socket.socket], object]


class _PlainLink(Link):
    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._reply = _memory(1)

    def exchange(self, payload: Tensor, reply_bytes: int) -> None:
        if self._reply.nbytes < reply_bytes:
            self._reply = _memory(reply_bytes)
        self._socket.sendall(_SIZES.pack(payload.nbytes, reply_bytes))
        if payload.nbytes:
            self._socket.sendall(payload.numpy().data)
        _receive(self._socket, self._reply[:reply_bytes])

    def close(self) -> None:
        self._socket.close()


def serve(prepare: Prepare, host: str, port: int, _device: torch.device, say_ready: Ready) -> None:
    """Serve one client; ``prepare`` is done to the listening socket first."""
    with socket.socket() as listener:
        prepare(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1)
        listener.settimeout(TIMEOUT_S)
        say_ready()
        accepted, _peer = listener.accept()
    with accepted:
        accepted.setblocking(True)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = _memory(1 << 20)
        sizes = bytearray(_SIZES.size)
        while accepted.recv_into(sizes, 0, socket.MSG_WAITALL) == _SIZES.size:
            payload_bytes, reply_bytes = _SIZES.unpack(sizes)
            if buffer.nbytes < max(payload_bytes, reply_bytes):
                buffer = _memory(max(payload_bytes, reply_bytes))
            _receive(accepted, buffer[:payload_bytes])
            accepted.sendall(buffer[:reply_bytes])


def connect(prepare: Prepare, host: str, port: int) -> Link:
    """Connect a socket to which ``prepare`` is done first."""
    connecting = socket.socket()
    prepare(connecting)
    connecting.connect((host, port))
    connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _PlainLink(connecting)


def _memory(size_bytes: int) -> memoryview:
    return memoryview(np.empty(size_bytes, dtype=np.uint8).data)


def _receive(connected: socket.socket, view: memoryview) -> None:
    while view.nbytes:
        received = connected.recv_into(view, 0, socket.MSG_WAITALL)
        if not received:
            raise ConnectionError("the other side hung up")
        view = view[received:]
