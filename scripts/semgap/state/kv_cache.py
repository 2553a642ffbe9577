"""A KV cache as a value: the tensors that a model continues from, and after how many positions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from semgap.errors import ModelError

_POSITIONS = -2


@dataclass(frozen=True)
class KvCache:
    """What a pass leads to and the next one continues from; nothing before the first pass.

    Most models have keys and values of each layer in turn, of shape (1, KV heads, positions, head
    size). Layers with a window keep fewer positions, and linear attention a state of a fixed size.
    """

    tensors: tuple[Tensor, ...] = ()
    length: int = 0  # number of positions that the passes so far have had

    def valid(self) -> tuple[Tensor, ...]:
        """The content, and no memory beside it."""
        return self.tensors

    def forget(self) -> None:
        """Make unusable what is still there after ``valid()`` went back: here nothing."""

    def copied(self) -> "KvCache":
        """The same in memory that nothing else uses."""
        return replace(self, tensors=tuple(tensor.clone() for tensor in self.tensors))

    def since(self, position: int) -> tuple[Tensor, ...]:
        """The content from ``position`` on.

        Raises:
            ModelError: a tensor does not have a row for each position.
        """
        valid = self.valid()
        if any(one.dim() < 2 or one.shape[_POSITIONS] != self.length for one in valid):
            raise ModelError(
                "The model's KV cache does not grow by position in every layer, so the new "
                "positions alone cannot be sent.",
                "Leave 'delta' out of modes for this model.",
            )
        return tuple(
            tensor.narrow(_POSITIONS, position, self.length - position).contiguous()
            for tensor in valid
        )

    def joined(self, more: Sequence[Tensor], length: int) -> "KvCache":
        """These positions and those of ``more`` behind them, ``length`` together, in memory that
        nothing else uses.
        """
        valid = self.valid()
        if not valid or not more:
            return KvCache(tuple(tensor.clone() for tensor in more or valid), length)
        pairs = zip(valid, more, strict=True)
        return KvCache(tuple(torch.cat(pair, dim=_POSITIONS) for pair in pairs), length)
