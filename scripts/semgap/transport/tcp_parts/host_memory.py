"""Host memory that received tensors lie in: used again as soon as nobody refers to it."""

import ctypes
import functools
import mmap
import time
import weakref
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from semgap.errors import TransportError
from semgap.protocol import Reply, Request
from semgap.transport import Tensors
from semgap.transport.tcp_parts.tcp_frames import ALIGNMENT, Layout, Placed, encode, head_of
from semgap.transport.tcp_parts.tcp_stream import Buffer, TcpStream

_SMALL_BYTES = 1 << 16
_PREPARED_BYTES = 1 << 20
_HUGE_PAGE_BYTES = 1 << 21
_STEP_BYTES = 1 << 28
_PADDING = bytes(ALIGNMENT)

CharArray = ctypes.Array[ctypes.c_char]
# Memory for a group, and the tensors that lie in it.
Landing = tuple[Buffer, list[Tensor]]


class HostMemory:
    """Receives into, and sends from, tensors on the CPU.

    Memory that was touched before is received into several times as fast as fresh memory, so the
    address space of tensors that nobody holds any more serves for the next ones.
    """

    def __init__(self) -> None:
        self._pool = BlockPool()
        self._ready: dict[Layout, Landing] = {}

    def prepare(self, layouts: Iterable[Layout]) -> None:
        """Allocate memory for the groups that probably come next, while waiting.

        Only for small groups: a large one takes longer to arrive than to allocate, and a KV cache
        never arrives twice in the same size.
        """
        small = [layout for layout in layouts if layout.size_bytes < _PREPARED_BYTES]
        self._ready = {layout: self._landing(layout) for layout in small}

    def receive(self, stream: TcpStream, layout: Layout) -> list[Tensor]:
        """Receive a group of tensors in one piece."""
        ready = layout in self._ready
        block, tensors = self._ready.pop(layout) if ready else self._landing(layout)
        stream.receive_into(block, layout.size_bytes)
        return tensors

    def wait_for_copies(self) -> None:
        """Nothing: tensors are where they were received."""

    def _landing(self, layout: Layout) -> Landing:
        small = layout.size_bytes < _SMALL_BYTES
        owner: Buffer = (bytearray if small else self._pool.lease)(layout.size_bytes)
        tensors = [_tensor_in(owner, placed) for placed in layout.tensors]
        return np.frombuffer(owner, dtype=np.uint8), tensors

    def send(self, stream: TcpStream, header: Request | Reply, tensors: Tensors) -> int:
        """Send a message straight from its tensors; returns when it was ready to go."""
        departing_ns = time.monotonic_ns()
        groups = {name: [one.contiguous() for one in group] for name, group in tensors.items()}
        encoded, layouts = encode(header, groups)
        buffers: list[Buffer] = []
        for group, layout in zip(groups.values(), layouts, strict=True):
            end = 0
            for tensor, placed in zip(group, layout.tensors, strict=True):
                if placed.offset > end:
                    buffers.append(_PADDING[: placed.offset - end])
                if placed.size_bytes:
                    # Takes a tenth of the time that numpy's buffer takes, just after waking up.
                    buffers.append(_array_type(placed.size_bytes).from_address(tensor.data_ptr()))
                end = placed.offset + placed.size_bytes
        payload_bytes = sum(layout.size_bytes for layout in layouts)
        ready_ns = time.monotonic_ns()
        head = head_of(encoded, payload_bytes, departing_ns)
        if payload_bytes < _SMALL_BYTES:
            stream.send([head, *buffers], len(head) + payload_bytes)
        else:
            # The other side wakes up and reads the head while the payload is being copied.
            stream.send([head], len(head))
            stream.send(buffers, payload_bytes)
        return ready_ns


class BlockPool:
    """Blocks of anonymous memory; a block is lent again when nothing refers to it any more."""

    def __init__(self) -> None:
        self._free: defaultdict[int, list[mmap.mmap]] = defaultdict(list)

    def lease(self, size_bytes: int) -> CharArray:
        """Memory of ``size_bytes`` that nobody else refers to; its content is undefined.

        It stays the caller's while anything refers to it. numpy arrays and tensors that are made
        with it as their buffer do. Those made of an array in between need not: numpy lets a view
        refer to the owner of the memory behind it.
        """
        capacity = _capacity(size_bytes)
        free = self._free[capacity]
        block = free.pop() if free else _new_block(capacity)
        lent = _array_type(size_bytes).from_buffer(block)
        weakref.finalize(lent, free.append, block).atexit = False
        return lent


def _capacity(size_bytes: int) -> int:
    """Round a size up, so that a KV cache that grows by a token reuses the previous step's block.

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
    # By way of numpy, which needs half as long for it as torch, and has no bfloat16.
    bfloat16 = placed.spec.dtype == "bfloat16"
    dtype = "int16" if bfloat16 else placed.spec.dtype
    tensor = torch.from_numpy(np.ndarray(placed.spec.shape, dtype, owner, placed.offset))
    return tensor.view(torch.bfloat16) if bfloat16 else tensor


@functools.lru_cache(maxsize=64)
def _array_type(size_bytes: int) -> type[CharArray]:
    return ctypes.c_char * size_bytes
