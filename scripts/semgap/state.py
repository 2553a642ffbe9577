"""What stays between two steps: KV caches as values, and what a worker keeps by reference ID."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from semgap.errors import ModelError, ReferenceIdError

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


Value = TypeVar("Value")


class Kept(Generic[Value]):
    """One session's KV caches, or logits that do not cross with their step.

    A reference ID is 128 random bits, so it cannot be guessed, and taking what it names uses it up,
    so a stale ID can never read what has moved on. A store belongs to one session's worker process:
    the ID of another session is unknown here.
    """

    def __init__(self) -> None:
        self._values: dict[str, Value] = {}

    def __contains__(self, reference_id: str) -> bool:
        return reference_id in self._values

    def keep(self, value: Value) -> str:
        """Keep a value and return the reference ID that names it."""
        reference_id = secrets.token_hex(16)
        self._values[reference_id] = value
        return reference_id

    def take(self, reference_id: str) -> Value:
        """Return the named value and use its reference ID up.

        Raises:
            ReferenceIdError: the ID is unknown, used up, released, or of another session.
        """
        value = self.look_up(reference_id)
        del self._values[reference_id]
        return value

    def look_up(self, reference_id: str) -> Value:
        """Return the named value, which stays under its reference ID.

        Raises:
            ReferenceIdError: the ID is unknown, used up, released, or of another session.
        """
        try:
            return self._values[reference_id]
        except KeyError:
            raise ReferenceIdError(
                f"The worker keeps nothing under the reference ID '{reference_id[:8]}…': "
                "it is unknown, was used up or released, or belongs to another session.",
                "Use the ID that the last step returned, or start again with a prefill.",
            ) from None


def make_unusable(tensor: Tensor) -> None:
    """Put a NaN into every row, so that no later computation with it gives an answer.

    One per row is enough, since an operator's result depends on every row that it reads. It costs a
    tenth of filling the tensor, and the next request arrives meanwhile. Integers, which have no
    NaN, become 0.
    """
    if tensor.is_floating_point():
        (tensor[..., :1] if tensor.dim() else tensor).fill_(torch.nan)
    else:
        tensor.zero_()
