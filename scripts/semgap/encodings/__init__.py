"""What crosses in place of tensors: an encoding stands between a transport and those who use it.

Client, worker and step loop see the tensors that they would see without it.
"""

import abc
import importlib
import time
from collections.abc import Collection, Sequence
from typing import ClassVar, TypeVar

import msgspec
import torch
from msgspec import structs
from torch import Tensor

from semgap.policy import TensorClass
from semgap.protocol import Encoded, Ping, Request
from semgap.transport import Channel, Handler, ReplyMessage, RequestMessage, Tensors, failed_reply

Listed = TypeVar("Listed")

CPU = torch.device("cpu")


class Encoding(abc.ABC):
    """One end of a session; the other end has another of its kind, which sees the same messages."""

    classes: ClassVar[Collection[TensorClass]] = ()  # the others cross as they are
    held_bytes = 0  # what this end keeps between two messages

    @abc.abstractmethod
    def encode(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """What crosses in place of tensors of one class: uint8 on the CPU, of shape (bytes,).

        The first lists what the tensors are, a second one holds content.
        """

    @abc.abstractmethod
    def decode(self, crossed: Sequence[Tensor], device: torch.device) -> list[Tensor]:
        """The tensors again, on a device, in memory that nothing else uses.

        Raises:
            TransportError: the other end speaks of what this end does not have.
        """

    def end_message(self) -> None:  # noqa: B027 - most keep nothing between messages
        """Called once per message, when all of it was encoded or decoded."""


def encoded_channel(channel: Channel, name: str | None) -> Channel:
    """The client's end of the encoding of that name, if there is one, around a channel."""
    return channel if name is None else EncodedChannel(channel, _load(name))


def encoded_handler(handler: Handler, name: str | None) -> Handler:
    """The worker's end of the encoding of that name, if there is one, around a handler."""
    return handler if name is None else EncodedHandler(handler, _load(name))


class EncodedChannel(Channel):
    """Encodes what goes out over a channel, and decodes what comes back."""

    def __init__(self, channel: Channel, encoding: Encoding) -> None:
        self._channel = channel
        self._encoding = encoding

    def request(self, message: RequestMessage) -> ReplyMessage:
        classes = _classes(message.header, self._encoding)
        begin_ns = time.monotonic_ns()
        sent = _encoded(message.tensors, self._encoding, classes)
        sent_ns = time.monotonic_ns()
        reply = self._channel.request(structs.replace(message, tensors=sent))
        come_ns = time.monotonic_ns()
        tensors = _decoded(reply.tensors, self._encoding, classes, CPU)
        end_ns = time.monotonic_ns()
        crossed = Encoded(
            encode_s=(sent_ns - begin_ns) / 1e9,
            decode_s=(end_ns - come_ns) / 1e9,
            **_sizes("up", sent, classes),
            **_sizes("down", reply.tensors, classes),
            held_bytes=self._encoding.held_bytes,
        )
        return structs.replace(reply, tensors=tensors, encoded=crossed)

    def close(self) -> None:
        self._channel.close()


class EncodedHandler(Handler):
    """Decodes what comes to a handler, and encodes what it answers."""

    device = CPU

    def __init__(self, handler: Handler, encoding: Encoding) -> None:
        self._handler = handler
        self._encoding = encoding

    def handle(self, message: RequestMessage) -> ReplyMessage:
        classes = _classes(message.header, self._encoding)
        try:
            tensors = _decoded(message.tensors, self._encoding, classes, self._handler.device)
            delivered = structs.replace(message, tensors=tensors, delivered_ns=time.monotonic_ns())
            reply = self._handler.handle(delivered)
            return structs.replace(reply, tensors=_encoded(reply.tensors, self._encoding, classes))
        except Exception as error:
            return failed_reply(error)

    def discard(self) -> None:
        self._handler.discard()


def packed(listed: Sequence[Listed], content: bytes | bytearray) -> list[Tensor]:
    """A list of records, and content beside it if there is any."""
    parts = (bytearray(msgspec.msgpack.encode(listed)), bytearray(content))
    return [tensor_in(part) for part in parts if part]


def unpacked(
    crossed: Sequence[Tensor], kind: type[list[Listed]]
) -> tuple[list[Listed], memoryview]:
    """What ``packed`` was given."""
    listed, *content = (part.numpy().data for part in crossed)
    return msgspec.msgpack.decode(listed, type=kind), (content or [memoryview(b"")])[0]


def tensor_in(memory: memoryview | bytearray, dtype: torch.dtype = torch.uint8) -> Tensor:
    """A flat tensor in memory that Python has."""
    return torch.frombuffer(memory, dtype=dtype) if len(memory) else torch.empty(0, dtype=dtype)


def bytes_of(tensor: Tensor) -> Tensor:
    """A tensor's content on the CPU, as uint8 of shape (bytes,)."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)


def dtype_name(tensor: Tensor) -> str:
    """The name by which ``torch`` has a tensor's dtype."""
    return str(tensor.dtype).removeprefix("torch.")


def _load(name: str) -> Encoding:
    encoding: Encoding = importlib.import_module(f"semgap.encodings.{name}").ENCODING()
    return encoding


def _classes(header: Request, encoding: Encoding) -> Collection[TensorClass]:
    """A ping measures the link, of which an encoding would hide the most."""
    return () if isinstance(header, Ping) else encoding.classes


def _encoded(tensors: Tensors, encoding: Encoding, classes: Collection[TensorClass]) -> Tensors:
    crossing = {
        name: encoding.encode(group) if name in classes else [tensor.cpu() for tensor in group]
        for name, group in tensors.items()
    }
    encoding.end_message()
    return crossing


def _decoded(
    tensors: Tensors, encoding: Encoding, classes: Collection[TensorClass], device: torch.device
) -> Tensors:
    delivered = {
        name: encoding.decode(group, device)
        if name in classes
        else [tensor.to(device) for tensor in group]
        for name, group in tensors.items()
    }
    encoding.end_message()
    return delivered


def _sizes(direction: str, crossed: Tensors, classes: Collection[TensorClass]) -> dict[str, int]:
    flat = [tensor for group in crossed.values() for tensor in group]
    lists = [group[0] for name, group in crossed.items() if name in classes]
    return {
        f"{direction}_bytes": sum(tensor.nbytes for tensor in flat),
        f"{direction}_list_bytes": sum(tensor.nbytes for tensor in lists),
        f"{direction}_tensors": len(flat),
    }
