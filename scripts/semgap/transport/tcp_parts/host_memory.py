"""Host memory that received tensors lie in: used again as soon as nobody refers to it."""

import ctypes
import functools
import heapq
import mmap
import time
import weakref
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from semgap.errors import TransportError
from semgap.protocol import Reply, Request
from semgap.transport.tcp_parts.tcp_frames import ALIGNMENT, BFLOAT16, Layout, Placed, encode
from semgap.transport.tcp_parts.tcp_stream import Buffer, TcpStream
from semgap.transport.transport_contract import Tensors

_SMALL_BYTES = 1 << 16
_SMALL_LANDINGS = 16
_PREPARED_BYTES = 1 << 20
_HUGE_PAGE_BYTES = 1 << 21
_STEP_BYTES = 1 << 28
_PADDING = bytes(ALIGNMENT)

CharArray = ctypes.Array[ctypes.c_char]


class Landing(NamedTuple):
    """Memory for a group, and the tensors that lie in it."""

    block: Buffer
    tensors: list[Tensor]


class HostMemory:
    """Receives into, and sends from, tensors on the CPU.

    Memory that was touched before is received into several times as fast as fresh memory, so the
    address space of tensors that nobody holds any more serves for the next ones.
    """

    def __init__(self) -> None:
        self._pool = BlockPool()
        self._ready: dict[Layout, list[Landing]] = {}

    def prepare(self, layouts: Iterable[Layout]) -> None:
        """Have memory ready for groups that may come next, while there is nothing else to do.

        Only for what arrives in less time than that takes: it would else hold memory in vain,
        since a KV cache never comes twice in the same size.
        """
        self._ready = {
            layout: self._ready.get(layout) or self._landings(layout)
            for layout in layouts
            if layout.size_bytes < _PREPARED_BYTES
        }

    def receive(self, stream: TcpStream, layout: Layout) -> list[Tensor]:
        """Receive a group of tensors in one piece."""
        ready = self._ready.get(layout)
        landing = ready.pop() if ready else self._landing(layout)
        stream.receive_into(landing.block, layout.size_bytes)
        return landing.tensors

    def send(self, stream: TcpStream, header: Request | Reply, tensors: Tensors) -> int:
        """Send a message straight from its tensors; returns when it was ready to go."""
        kinds = []
        kept = []
        buffers: list[Buffer] = [b""]
        size_bytes = 0
        for name, group in tensors.items():
            members = []
            end = 0
            for tensor in group:
                contiguous = tensor if tensor.is_contiguous() else tensor.contiguous()
                kept.append(contiguous)
                members.append((contiguous.dtype, contiguous.shape))
                if padding := -end % ALIGNMENT:
                    buffers.append(_PADDING[:padding])
                if tensor_bytes := contiguous.nbytes:
                    # A tenth of what a way through numpy takes, just after waking up.
                    buffers.append(_array_type(tensor_bytes).from_address(contiguous.data_ptr()))
                end += padding + tensor_bytes
            kinds.append((name, tuple(members)))
            size_bytes += end
        head = encode(header, tuple(kinds), size_bytes)
        buffers[0] = head
        ready_ns = time.monotonic_ns()
        if size_bytes < _SMALL_BYTES:
            stream.send(buffers, len(head) + size_bytes)
        else:
            # The other side wakes up and reads the head while the payload is being copied.
            stream.send(buffers[:1], len(head))
            stream.send(buffers[1:], size_bytes)
        return ready_ns

    def _landings(self, layout: Layout) -> list[Landing]:
        """Several at once where they are small: the first one costs ten times what others do."""
        count = _SMALL_LANDINGS if layout.size_bytes < _SMALL_BYTES else 1
        return [self._landing(layout) for _ in range(count)]

    def _landing(self, layout: Layout) -> Landing:
        owner: Buffer
        block: Buffer
        if layout.size_bytes < _SMALL_BYTES:
            owner = block = bytearray(layout.size_bytes)
        else:
            owner = self._pool.lease(layout.size_bytes)
            block = np.frombuffer(owner, dtype=np.uint8)
        return Landing(block, [_tensor_in(owner, placed) for placed in layout.tensors])


class BlockPool:
    """Blocks of anonymous memory; a block is lent again when nothing refers to it any more.

    Of those that are free, the oldest is lent, whose pages are the likeliest to be there already.
    """

    def __init__(self) -> None:
        self._blocks: list[mmap.mmap] = []
        self._free: defaultdict[int, list[int]] = defaultdict(list)
        self._lent: dict[int, tuple[weakref.ref[CharArray], int]] = {}

    def lease(self, size_bytes: int) -> CharArray:
        """Memory of ``size_bytes`` that nobody else refers to; its content is undefined.

        It stays the caller's while anything refers to it. numpy arrays and tensors that are made
        with it as their buffer do. Those made of an array in between need not: numpy lets a view
        refer to the owner of the memory behind it.
        """
        capacity = _capacity(size_bytes)
        free = self._free[capacity]
        if not free:
            self._blocks.append(_new_block(capacity))
            free.append(len(self._blocks) - 1)
        number = heapq.heappop(free)
        lent = _array_type(size_bytes).from_buffer(self._blocks[number])
        watch = weakref.ref(lent, self._take_back)
        self._lent[id(watch)] = watch, number
        return lent

    def _take_back(self, dead: weakref.ref[CharArray]) -> None:
        _watch, number = self._lent.pop(id(dead))
        heapq.heappush(self._free[len(self._blocks[number])], number)


def _capacity(size_bytes: int) -> int:
    """A size in steps, so that a KV cache that grows by a token finds the block of the step before.

    Only what is used of it is resident.
    """
    if size_bytes > _STEP_BYTES:
        return -(-size_bytes // _STEP_BYTES) * _STEP_BYTES
    return 1 << (size_bytes - 1).bit_length()


def _new_block(capacity: int) -> mmap.mmap:
    try:
        # Private: by default it would be shared memory, which gets no huge pages.
        block = mmap.mmap(-1, capacity, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise TransportError(
            f"There is no memory for a message of {capacity / 1e9:.3g} GB: {error.strerror}.",
            "Use a smaller model or dtype, or a machine with more memory.",
        ) from error
    if capacity >= _HUGE_PAGE_BYTES:
        block.madvise(mmap.MADV_HUGEPAGE)
    return block


def _tensor_in(owner: Buffer, placed: Placed) -> Tensor:
    # By way of numpy, which needs half as long for it as torch.
    if placed.dtype == BFLOAT16:
        array = np.ndarray(placed.shape, np.int16, owner, placed.offset)
        return torch.from_numpy(array).view(torch.bfloat16)
    return torch.from_numpy(np.ndarray(placed.shape, placed.dtype, owner, placed.offset))


@functools.lru_cache(maxsize=64)
def _array_type(size_bytes: int) -> type[CharArray]:
    return ctypes.c_char * size_bytes
