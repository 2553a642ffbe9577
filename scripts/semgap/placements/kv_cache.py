"""A KV cache as a value: tensors, and how many of their positions are valid."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_POSITIONS = -2


@dataclass(frozen=True)
class KvCache:
    """Keys and values of each layer in turn."""

    # each of shape (1, KV heads, positions, head size); none before the first pass
    tensors: tuple[Tensor, ...] = ()
    length: int = 0  # valid positions, from the first one; memory of a fixed size has room for more

    def valid(self) -> tuple[Tensor, ...]:
        """The valid positions, and no others."""
        return tuple(
            tensor
            if tensor.shape[_POSITIONS] == self.length
            else tensor.narrow(_POSITIONS, 0, self.length).contiguous()
            for tensor in self.tensors
        )

    def since(self, position: int) -> tuple[Tensor, ...]:
        """The valid positions from ``position`` on."""
        return tuple(
            tensor.narrow(_POSITIONS, position, self.length - position).contiguous()
            for tensor in self.tensors
        )

    def joined(self, more: Sequence[Tensor]) -> "KvCache":
        """These positions and those of ``more`` behind them, in memory that nothing else uses."""
        if not self.tensors:
            return cache_of([tensor.clone() for tensor in more])
        if not more:
            return cache_of([tensor.clone() for tensor in self.valid()])
        return cache_of(
            [torch.cat(pair, dim=_POSITIONS) for pair in zip(self.valid(), more, strict=True)]
        )


def cache_of(tensors: Sequence[Tensor]) -> "KvCache":
    """The KV cache of which all positions are valid."""
    return KvCache(tuple(tensors), tensors[0].shape[_POSITIONS] if tensors else 0)
