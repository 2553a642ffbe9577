"""Host memory that received tensors lie in: used again as soon as nobody refers to it."""

from __future__ import annotations

import mmap
import weakref
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semgap.transport.tcp_frames import ALIGNMENT, Layout, aligned
from semgap.transport.tcp_stream import Buffer, TcpStream

_SMALLEST_BLOCK_BYTES = 1 << 16
_PADDING = bytes(ALIGNMENT)

Bytes = NDArray[np.uint8]


class HostMemory:
    """Receives into, and sends from, tensors on the CPU.

    Memory that was touched before is received into twice as fast as fresh memory, so the address
    space of tensors that nobody holds any more serves for the next ones.
    """

    def __init__(self) -> None:
        self._pool = BlockPool()

    def receive(self, stream: TcpStream, layout: Layout) -> list[Tensor]:
        """Receive a group of tensors in one piece."""
        block = self._pool.lease(layout.size_bytes)
        if layout.size_bytes:
            stream.receive_into(block, layout.size_bytes)
        return [
            torch.frombuffer(
                block, dtype=placed.dtype, count=placed.elements, offset=placed.offset
            ).view(placed.shape)
            if placed.elements
            else torch.empty(placed.shape, dtype=placed.dtype)
            for placed in layout.tensors
        ]

    def send(self, stream: TcpStream, head: bytes, groups: Sequence[Sequence[Tensor]]) -> None:
        """Send a message's head and the tensors that follow it, in one piece."""
        buffers: list[Buffer] = [head]
        size_bytes = len(head)
        for tensors in groups:
            end = 0
            for tensor in tensors:
                if padding := aligned(end) - end:
                    buffers.append(_PADDING[:padding])
                if tensor.nbytes:
                    buffers.append(_buffer_of(tensor))
                end += padding + tensor.nbytes
            size_bytes += end
        stream.send(buffers, size_bytes)


class BlockPool:
    """Blocks of anonymous memory, lent as arrays; a block comes back when its array dies."""

    def __init__(self) -> None:
        self._free: list[Bytes] = []
        self._lent: dict[int, tuple[weakref.ref[Bytes], Bytes]] = {}

    def lease(self, size_bytes: int) -> Bytes:
        """An array of ``size_bytes`` (uint8) that nobody else refers to; its content is undefined.

        The array stays the caller's while anything refers to it, tensors made from it included.
        """
        block = self._smallest_free(size_bytes)
        if block is None:
            block = _new_block(size_bytes)
        array = block[:size_bytes]
        watch = weakref.ref(array, self._take_back)
        self._lent[id(watch)] = watch, block
        return array

    def _take_back(self, dead: weakref.ref[Bytes]) -> None:
        _watch, block = self._lent.pop(id(dead))
        self._free.append(block)

    def _smallest_free(self, size_bytes: int) -> Bytes | None:
        fitting = [
            (block.nbytes, index)
            for index, block in enumerate(self._free)
            if size_bytes <= block.nbytes <= max(2 * size_bytes, _SMALLEST_BLOCK_BYTES)
        ]
        return self._free.pop(min(fitting)[1]) if fitting else None


def _new_block(size_bytes: int) -> Bytes:
    """Address space for the size, rounded up to a power of two: only what is used is resident."""
    capacity = max(_SMALLEST_BLOCK_BYTES, 1 << max(0, size_bytes - 1).bit_length())
    memory = mmap.mmap(-1, capacity)
    if capacity >= 1 << 21:
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype=np.uint8)


def _buffer_of(tensor: Tensor) -> Buffer:
    contiguous = tensor.contiguous()
    if contiguous.dtype is torch.bfloat16:  # which numpy does not know
        contiguous = contiguous.view(torch.int16)
    return contiguous.numpy()
