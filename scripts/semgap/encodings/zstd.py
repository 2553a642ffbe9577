"""The KV cache without loss in fewer bytes, by Zstandard (RFC 8878)."""

from collections.abc import Sequence

import msgspec
import torch
import zstandard
from torch import Tensor

from semgap.encodings import Encoding, bytes_of, dtype_name, packed, tensor_in, unpacked
from semgap.policy import TensorClass

# Higher levels take several times as long for a percent.
_LEVEL = 1


class _Listed(msgspec.Struct, frozen=True, array_like=True):
    """One tensor."""

    dtype: str
    shape: tuple[int, ...]
    length: int  # of what it became


class Zstd(Encoding):
    classes = frozenset({TensorClass.KV_CACHE})

    def encode(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        compressor = zstandard.ZstdCompressor(level=_LEVEL)
        # The bytes of numbers with their exponents repeat, and those of their last digits do not:
        # bytes of equal significance stand together.
        frames = [
            compressor.compress(planes.T.contiguous().numpy().data)
            for one in tensors
            for planes in (bytes_of(one).view(one.numel(), one.itemsize),)
        ]
        listed = [
            _Listed(dtype_name(one), tuple(one.shape), len(frame))
            for one, frame in zip(tensors, frames, strict=True)
        ]
        return packed(listed, b"".join(frames))

    def decode(self, crossed: Sequence[Tensor], device: torch.device) -> list[Tensor]:
        tensors, (listed, frames) = [], unpacked(crossed, list[_Listed])
        for one in listed:
            dtype = getattr(torch, one.dtype)
            plain = bytearray(zstandard.ZstdDecompressor().decompress(frames[: one.length]))
            frames = frames[one.length :]
            planes = tensor_in(plain).view(dtype.itemsize, len(plain) // dtype.itemsize)
            own = planes.T.contiguous().view(-1).view(dtype).reshape(one.shape)
            tensors.append(own.to(device))
        return tensors


ENCODING = Zstd
