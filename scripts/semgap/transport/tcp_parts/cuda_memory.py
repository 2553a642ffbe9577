"""GPU memory for received tensors, filled while the rest of them still arrives."""

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from semgap.protocol import Reply, Request
from semgap.transport import Tensors
from semgap.transport.tcp_parts.host_memory import HostMemory
from semgap.transport.tcp_parts.tcp_frames import ALIGNMENT, DTYPES, Layout, Placed, encode, head_of
from semgap.transport.tcp_parts.tcp_stream import TcpStream

# Large enough that a copy takes longer than starting it, small enough that the first is soon begun.
_SLOT_BYTES = 8_000_000
_SLOTS = 4
# So little goes through memory of the driver's own faster than through a slot.
_SMALL_BYTES = 1 << 12


class _Slot:
    """Pinned host memory that the device copies from or to by itself."""

    def __init__(self) -> None:
        self.memory = torch.empty(_SLOT_BYTES, dtype=torch.uint8, pin_memory=True)
        self.buffer = self.memory.numpy()
        self.copied = torch.cuda.Event()


class CudaMemory:
    """Receives into, and sends from, tensors on a GPU, through a ring of pinned slots.

    Receiving from the socket into one slot overlaps the copies from the slots before it, so that a
    message takes as long as the slower of network and PCIe, not as both together.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._passes = torch.cuda.current_stream(device)
        self._copies = torch.cuda.Stream(device)
        self._ring = deque(_Slot() for _ in range(_SLOTS))
        self._host = HostMemory()

    def prepare(self, layouts: Iterable[Layout]) -> None:
        """Have host memory ready for what is small."""
        self._host.prepare(layout for layout in layouts if layout.size_bytes <= _SMALL_BYTES)

    def receive(self, stream: TcpStream, layout: Layout) -> list[Tensor]:
        """Receive a group of tensors; work queued on the device from now on sees them whole."""
        if layout.size_bytes <= _SMALL_BYTES:
            received = self._host.receive(stream, layout)
            # The driver has taken them when this returns.
            return [tensor.to(self._device, non_blocking=True) for tensor in received]
        block = self._received(stream, layout)
        return [_tensor_in(block, placed) for placed in layout.tensors]

    def _received(self, stream: TcpStream, layout: Layout) -> Tensor:
        block = torch.empty(layout.size_bytes, dtype=torch.uint8, device=self._device)
        with self._copying(layout.size_bytes) as copying:
            for begin in range(0, layout.size_bytes, _SLOT_BYTES):
                piece = block[begin : begin + _SLOT_BYTES]
                slot = self._next_slot()
                slot.copied.synchronize()
                stream.receive_into(slot.buffer, piece.nbytes)
                piece.copy_(slot.memory[: piece.nbytes], non_blocking=True)
                slot.copied.record(copying)
        return block

    def wait_for_copies(self) -> None:
        """Wait for the copies that have a stream of their own, those of more than a slot."""
        self._copies.synchronize()

    def send(self, stream: TcpStream, header: Request | Reply, tensors: Tensors) -> int:
        """Send a message from the device; returns when the first of it was in host memory."""
        if all(tensor.is_cpu for group in tensors.values() for tensor in group):
            return self._host.send(stream, header, tensors)
        padded = [list(padded_bytes(group)) for group in tensors.values()]
        encoded, layouts = encode(header, tensors)
        payload_bytes = sum(layout.size_bytes for layout in layouts)
        with self._copying(payload_bytes) as copying:
            parts = self._in_host_memory(itertools.chain.from_iterable(padded), copying)
            first = list(itertools.islice(parts, 1))
            ready_ns = time.monotonic_ns()
            head = head_of(encoded, payload_bytes, ready_ns)
            stream.send([head, *first], len(head) + sum(part.nbytes for part in first))
            for part in parts:
                stream.send([part], part.nbytes)
        return ready_ns

    def _in_host_memory(
        self, padded: Iterable[tuple[int, Tensor]], copying: torch.cuda.Stream
    ) -> Iterator[np.ndarray]:
        """A payload's bytes, a slot at a time; whoever takes the next is done with the last."""
        filled: deque[tuple[_Slot, int]] = deque()
        for size_bytes, pieces in in_slots(padded, _SLOT_BYTES):
            if len(filled) == _SLOTS:
                yield _copied(*filled.popleft())
            slot = self._next_slot()
            for offset, piece in pieces:
                slot.memory[offset : offset + piece.nbytes].copy_(piece, non_blocking=True)
            slot.copied.record(copying)
            filled.append((slot, size_bytes))
        while filled:
            yield _copied(*filled.popleft())

    @contextlib.contextmanager
    def _copying(self, size_bytes: int) -> Iterator[torch.cuda.Stream]:
        """Use a copy stream for what takes several slots; for less, the switch costs more.

        Kernels on the passes' stream may still read memory that the allocator reused, or write
        tensors that are sent; later kernels read what was received. So each stream waits for the
        other.
        """
        if size_bytes <= _SLOT_BYTES:
            yield self._passes
            return
        self._copies.wait_stream(self._passes)
        with torch.cuda.stream(self._copies):
            yield self._copies
        self._passes.wait_stream(self._copies)

    def _next_slot(self) -> _Slot:
        self._ring.rotate(-1)
        return self._ring[-1]


def _tensor_in(block: Tensor, placed: Placed) -> Tensor:
    own = block[placed.offset : placed.offset + placed.size_bytes]
    return own.view(DTYPES[placed.spec.dtype]).view(placed.spec.shape)


def _copied(slot: _Slot, size_bytes: int) -> np.ndarray:
    slot.copied.synchronize()
    return slot.buffer[:size_bytes]


def padded_bytes(group: Iterable[Tensor]) -> Iterator[tuple[int, Tensor]]:
    """A group's tensors as bytes, each after the number of padding bytes before it."""
    end = 0
    for tensor in group:
        padding = -end % ALIGNMENT
        end += padding + tensor.nbytes
        yield padding, tensor.contiguous().view(-1).view(torch.uint8)


def in_slots(
    padded: Iterable[tuple[int, Tensor]], slot_bytes: int
) -> Iterator[tuple[int, list[tuple[int, Tensor]]]]:
    """Cut a payload into slots: of each its bytes, and the pieces it holds with their offsets."""
    pieces: list[tuple[int, Tensor]] = []
    used = 0
    for padding, flat in padded:
        used += padding
        begin = 0
        while used >= slot_bytes or begin < flat.nbytes:
            if used >= slot_bytes:
                yield slot_bytes, pieces
                pieces, used = [], used - slot_bytes
            piece = flat[begin : begin + slot_bytes - used]
            if piece.nbytes:
                pieces.append((used, piece))
            used += piece.nbytes
            begin += piece.nbytes
    if used:
        yield used, pieces
