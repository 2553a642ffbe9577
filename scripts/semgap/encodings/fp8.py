"""The KV cache with loss, a byte per number: E4M3 (Micikevicius et al., arXiv:2209.05433)."""

from collections.abc import Sequence

import msgspec
import torch
from torch import Tensor

from semgap.encodings import Encoding, bytes_of, dtype_name, packed, tensor_in, unpacked
from semgap.policy import TensorClass

_EIGHT_BITS = torch.float8_e4m3fn


class _Listed(msgspec.Struct, frozen=True, array_like=True):
    """One tensor."""

    dtype: str
    shape: tuple[int, ...]
    scale: float  # its largest number ÷ the largest that eight bits hold


class Fp8(Encoding):
    classes = frozenset({TensorClass.KV_CACHE})

    def encode(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        listed, content = [], bytearray()
        for one in tensors:
            scale = float(one.abs().max()) / torch.finfo(_EIGHT_BITS).max or 1.0
            listed.append(_Listed(dtype_name(one), tuple(one.shape), scale))
            content += bytes_of((one / scale).to(_EIGHT_BITS)).numpy().data
        return packed(listed, content)

    def decode(self, crossed: Sequence[Tensor], device: torch.device) -> list[Tensor]:
        tensors, (listed, content) = [], unpacked(crossed, list[_Listed])
        numbers = tensor_in(content, _EIGHT_BITS)
        for one, coming in zip(listed, numbers.split([_size(one) for one in listed]), strict=True):
            own = coming.to(device).to(getattr(torch, one.dtype)) * one.scale
            tensors.append(own.reshape(one.shape))
        return tensors


def _size(one: _Listed) -> int:
    return torch.Size(one.shape).numel()


ENCODING = Fp8
