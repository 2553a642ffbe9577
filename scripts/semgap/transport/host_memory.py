"""Host memory that received tensors lie in: used again as soon as nobody refers to it."""

from __future__ import annotations

import mmap
import weakref
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semgap.transport.tcp_frames import ALIGNMENT, Layout
from semgap.transport.tcp_stream import Buffer, TcpStream

_SMALL_BYTES = 1 << 16
_SMALL_LANDINGS = 16
_HUGE_PAGE_BYTES = 1 << 21
_PADDING = bytes(ALIGNMENT)

Bytes = NDArray[np.uint8]


class Landing(NamedTuple):
    """Memory for a group, and the tensors that lie in it."""

    block: Buffer
    tensors: list[Tensor]


class HostMemory:
    """Receives into, and sends from, tensors on the CPU.

    Memory that was touched before is received into twice as fast as fresh memory, so the address
    space of tensors that nobody holds any more serves for the next ones.
    """

    def __init__(self) -> None:
        self._pool = BlockPool()
        self._ready: dict[Layout, list[Landing]] = {}

    def prepare(self, layouts: Iterable[Layout]) -> None:
        """Have memory ready for groups that may come next, while there is nothing else to do."""
        self._ready = {
            layout: self._ready.get(layout) or self._landings(layout) for layout in layouts
        }

    def receive(self, stream: TcpStream, layout: Layout) -> list[Tensor]:
        """Receive a group of tensors in one piece."""
        ready = self._ready.get(layout)
        landing = ready.pop() if ready else self._landing(layout)
        stream.receive_into(landing.block, layout.size_bytes)
        return landing.tensors

    def send(
        self,
        stream: TcpStream,
        head: bytes,
        layouts: Iterable[Layout],
        groups: Iterable[Sequence[Tensor]],
    ) -> None:
        """Send a message's head and the tensors that follow it, in one piece."""
        buffers: list[Buffer] = [head]
        size_bytes = len(head)
        for layout, tensors in zip(layouts, groups, strict=True):
            size_bytes += layout.size_bytes
            for placed, tensor in zip(layout.tensors, tensors, strict=True):
                if placed.padding:
                    buffers.append(_PADDING[: placed.padding])
                if placed.elements:
                    buffers.append(_buffer_of(tensor))
        stream.send(buffers, size_bytes)

    def _landings(self, layout: Layout) -> list[Landing]:
        """Several at once where they are small: the first one costs ten times what others do."""
        count = _SMALL_LANDINGS if layout.size_bytes < _SMALL_BYTES else 1
        return [self._landing(layout) for _ in range(count)]

    def _landing(self, layout: Layout) -> Landing:
        block: Buffer
        if layout.size_bytes < _SMALL_BYTES:
            block = bytearray(layout.size_bytes)
        else:
            block = self._pool.lease(layout.size_bytes)
        return Landing(
            block,
            [
                torch.frombuffer(
                    block, dtype=placed.dtype, count=placed.elements, offset=placed.offset
                ).view(placed.shape)
                if placed.elements
                else torch.empty(placed.shape, dtype=placed.dtype)
                for placed in layout.tensors
            ],
        )


class BlockPool:
    """Blocks of anonymous memory, lent as arrays; a block comes back when its array dies."""

    def __init__(self) -> None:
        self._free: defaultdict[int, list[Bytes]] = defaultdict(list)
        self._lent: dict[int, tuple[weakref.ref[Bytes], Bytes]] = {}

    def lease(self, size_bytes: int) -> Bytes:
        """An array of ``size_bytes`` (uint8) that nobody else refers to; its content is undefined.

        The array stays the caller's while anything refers to it, tensors made from it included.
        """
        # A power of two, of which only what is used is resident: a KV cache that grows by a token
        # finds the block of the step before.
        capacity = 1 << (size_bytes - 1).bit_length()
        free = self._free[capacity]
        block = free.pop() if free else _new_block(capacity)
        array = block[:size_bytes]
        watch = weakref.ref(array, self._take_back)
        self._lent[id(watch)] = watch, block
        return array

    def _take_back(self, dead: weakref.ref[Bytes]) -> None:
        _watch, block = self._lent.pop(id(dead))
        self._free[block.nbytes].append(block)


def _new_block(capacity: int) -> Bytes:
    memory = mmap.mmap(-1, capacity)
    if capacity >= _HUGE_PAGE_BYTES:
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype=np.uint8)


def _buffer_of(tensor: Tensor) -> Buffer:
    contiguous = tensor.contiguous()
    if contiguous.dtype is torch.bfloat16:  # which numpy does not know
        contiguous = contiguous.view(torch.int16)
    return contiguous.numpy()
