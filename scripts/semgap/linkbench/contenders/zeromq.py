"""ZeroMQ request and reply, without copies where the library offers it; used if installed."""

import struct

import torch
import zmq
from torch import Tensor

from semgap.linkbench.contenders import TIMEOUT_S, Link, Ready

_SIZES = struct.Struct("<qq")
_END = -1


class _ZeroMqLink(Link):
    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket

    def exchange(self, payload: Tensor, reply_bytes: int) -> None:
        head = _SIZES.pack(payload.nbytes, reply_bytes)
        self._socket.send_multipart([head, payload.numpy().data], copy=False)
        self._socket.recv(copy=False)

    def close(self) -> None:
        self._socket.send_multipart([_SIZES.pack(_END, 0), b""])
        self._socket.close(linger=1000)


def serve(host: str, port: int, _device: torch.device, say_ready: Ready) -> None:
    """Serve one client."""
    socket: zmq.Socket[bytes] = zmq.Context().socket(zmq.PAIR)
    socket.setsockopt(zmq.RCVTIMEO, int(TIMEOUT_S * 1000))
    socket.bind(f"tcp://{host}:{port}")
    say_ready()
    reply = torch.zeros(1, dtype=torch.uint8)
    while True:
        head, _payload = socket.recv_multipart(copy=False)
        payload_bytes, reply_bytes = _SIZES.unpack(head.bytes)
        if payload_bytes == _END:
            return
        if reply.nbytes < reply_bytes:
            reply = torch.zeros(reply_bytes, dtype=torch.uint8)
        socket.send(reply[:reply_bytes].numpy().data, copy=False)


def connect(host: str, port: int) -> Link:
    """Connect to the peer."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PAIR)
    socket.setsockopt(zmq.RCVTIMEO, int(TIMEOUT_S * 1000))
    socket.connect(f"tcp://{host}:{port}")
    return _ZeroMqLink(socket)
