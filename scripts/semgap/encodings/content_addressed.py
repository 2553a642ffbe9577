"""What the other side has seen crosses as a hash: a cache that knows bytes and no meaning.

A tensor whose bytes were there before is one digest. Another one is cut into chunks where its
content says (FastCDC, Xia et al., USENIX ATC 2016), so that an insertion moves no later cut, and is
the list of their hashes and those chunks that were never there. Both ends see the same messages in
the same order and keep the same, so no end asks what the other has.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import torch
from pyfastcdc import FastCDC
from torch import Tensor
from xxhash import xxh3_64_digest, xxh3_128_digest

from semgap.encodings import CPU, Encoding, bytes_of, dtype_name, packed, tensor_in, unpacked
from semgap.errors import TransportError
from semgap.policy import TensorClass

# Twice the weights of GPT-J 6B in float16: what was used least recently goes first.
STORE_BYTES = 24_000_000_000
# A key or a value of one position and head has some 256 bytes: longer chunks would mostly repeat
# what is known, shorter ones are mostly hashes.
_FINE = FastCDC(avg_size=256, min_size=64, max_size=1024, normalized_chunking=0)
# An index of such chunks is larger than what it saves of a tensor that hardly changes.
_COARSE = FastCDC(avg_size=1 << 16, normalized_chunking=0)
_COARSE_FROM_BYTES = 1 << 25
_HASH_BYTES = 8  # a chunk's; a tensor's digest has 16, and is checked when its chunks are joined


class _Listed(msgspec.Struct, frozen=True, array_like=True):
    """One tensor."""

    dtype: str
    shape: tuple[int, ...]
    digest: bytes
    hashes: bytes | None  # of its chunks, one after the other; None if the other side has it whole
    lengths: tuple[int, ...] = ()  # of the chunks that come with it, in their order


# Where a chunk was seen last: the digest of a tensor, and begin and end in its content. Python's
# collector looks at named tuples each time, and at plain ones of such values once.
_Place = tuple[bytes, int, int]


class _Kept(NamedTuple):
    content: memoryview
    hashes: bytes  # of its chunks, joined


class ContentAddressed(Encoding):
    """Keeps tensors under their digests, and where in them each chunk is.

    Args:
        bound_bytes: how much it keeps at most.
    """

    classes = frozenset(TensorClass)

    def __init__(self, bound_bytes: int = STORE_BYTES) -> None:
        self._bound_bytes = bound_bytes
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        # By a chunk's hash. Python's collector does not look at tuples of such values.
        self._chunks: dict[bytes, _Place] = {}

    def encode(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        listed, coming = [], bytearray()
        for tensor in tensors:
            content = bytes_of(tensor).numpy().data
            digest = xxh3_128_digest(content)
            hashes, lengths = None, []
            if digest not in self._kept:
                chunker = _FINE if content.nbytes < _COARSE_FROM_BYTES else _COARSE
                found, end = [], 0
                for chunk in chunker.cut_buf(content):
                    key, begin, end = xxh3_64_digest(chunk.data), end, end + chunk.length
                    if key not in self._chunks:
                        coming += chunk.data
                        lengths.append(chunk.length)
                    self._chunks[key] = digest, begin, end
                    found.append(key)
                hashes = b"".join(found)
                self._keep(digest, memoryview(bytearray(content)), hashes)
            self._kept.move_to_end(digest)
            shape = tuple(tensor.shape)
            listed.append(_Listed(dtype_name(tensor), shape, digest, hashes, tuple(lengths)))
        return packed(listed, coming)

    def decode(self, crossed: Sequence[Tensor], device: torch.device) -> list[Tensor]:
        tensors, (listed, coming) = [], unpacked(crossed, list[_Listed])
        for one in listed:
            dtype = getattr(torch, one.dtype)
            if one.hashes is not None:
                size_bytes = math.prod(one.shape) * dtype.itemsize
                # Only pinned memory is copied to a GPU at the rate of its bus.
                memory = torch.empty(size_bytes, dtype=torch.uint8, pin_memory=device != CPU)
                content = memory.numpy().data
                self._keep(one.digest, content, one.hashes)
                coming = self._join(one, content, coming)
                if xxh3_128_digest(content) != one.digest:
                    raise _apart()
            if one.digest not in self._kept:
                raise _apart()
            self._kept.move_to_end(one.digest)
            own = tensor_in(self._kept[one.digest].content)
            tensors.append(own.to(device, copy=True).view(dtype).reshape(one.shape))
        return tensors

    def end_message(self) -> None:
        while self.held_bytes > self._bound_bytes:
            digest, gone = self._kept.popitem(last=False)
            self.held_bytes -= gone.content.nbytes
            for key in _hashes(gone.hashes):
                if key in self._chunks and self._chunks[key][0] == digest:
                    del self._chunks[key]

    def _join(self, one: _Listed, content: memoryview, coming: memoryview) -> memoryview:
        """Fill memory with a tensor's chunks; returns what is left of those that came."""
        begin, lengths = 0, iter(one.lengths)
        for key in _hashes(one.hashes or b""):
            if key in self._chunks:
                digest, *where = self._chunks[key]
                chunk = self._kept[digest].content[slice(*where)]
            else:
                length = next(lengths, 0)
                chunk, coming = coming[:length], coming[length:]
            end = begin + len(chunk)
            content[begin:end] = chunk
            self._chunks[key] = one.digest, begin, end
            begin = end
        return coming

    def _keep(self, digest: bytes, content: memoryview, hashes: bytes) -> None:
        self._kept[digest] = _Kept(content, hashes)
        self.held_bytes += content.nbytes


def _hashes(joined: bytes) -> list[bytes]:
    return [joined[at : at + _HASH_BYTES] for at in range(0, len(joined), _HASH_BYTES)]


def _apart() -> TransportError:
    return TransportError(
        "The two ends of the session do not have the same content any more.",
        "Run again; if it happens again, a message was lost or changed on its way.",
    )


ENCODING = ContentAddressed
