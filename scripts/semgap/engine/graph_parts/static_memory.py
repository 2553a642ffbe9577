"""A KV cache in memory of a fixed size and place, which passes fill from the front."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor

from semgap.errors import ModelError
from semgap.state import KvCache, make_unusable

_POSITIONS = -2


@dataclass(frozen=True)
class StaticKvCache(KvCache):
    """The first positions of a block of shape (keys and values, 1, heads, capacity, head size)."""

    block: Tensor | None = None

    def in_place(self) -> Tensor:
        """The content where it lies: shape (keys and values, 1, heads, length, head size)."""
        assert self.block is not None
        return self.block.narrow(_POSITIONS, 0, self.length)

    def valid(self) -> tuple[Tensor, ...]:
        return self.in_place().clone(memory_format=torch.contiguous_format).unbind()

    def copied(self) -> KvCache:
        return KvCache(self.valid(), self.length)

    def forget(self) -> None:
        assert self.block is not None
        make_unusable(self.block)


class StaticMemory(transformers.Cache):
    """The block that a model's attention reads as a whole and writes at the pass's positions.

    Every pass reads all of it, so positions that none has filled must be masked, and be numbers:
    0 × NaN is NaN.
    """

    def __init__(self, layers: int, capacity: int) -> None:
        super().__init__(layers=[])
        self.capacity = capacity
        self.positions = torch.empty(0)  # int64, shape (new positions,): where the pass writes
        self._layers = layers
        self._block: Tensor | None = None  # its shape is known when the first keys come

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_args: Any, **_kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        layer = self.of_layer(layer_idx, key_states, value_states)
        layer[0].index_copy_(_POSITIONS, self.positions, key_states)
        layer[1].index_copy_(_POSITIONS, self.positions, value_states)
        return layer[0], layer[1]

    def write(self, layer: int, new: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Write keys and values of ``positions``, of shape (2, 1, heads, positions, head size).

        Returns:
            The layer's keys and values of all positions that there is room for.
        """
        both = self.of_layer(layer, new[0], new[1])
        both.index_copy_(_POSITIONS, positions, new)
        return both[0], both[1]

    def behind(self, positions: Tensor) -> Tensor:
        """Which places of the memory are behind each position: shape (positions, capacity)."""
        return torch.arange(self.capacity, device=positions.device) > positions[:, None]

    def of_layer(self, layer: int, keys: Tensor, values: Tensor) -> Tensor:
        """A layer's keys and values: shape (2, 1, heads, capacity, head size).

        Args:
            keys, values: some of them, for the shape.
        """
        if self._block is None:
            self._block = _allocated(keys, values, self._layers, self.capacity)
        return self._block[2 * layer : 2 * layer + 2]

    def get_seq_length(self, _layer_idx: int = 0) -> int:
        """No model needs it where positions and mask are given."""
        return 0

    def holds(self, kv_cache: KvCache) -> bool:
        """Whether a KV cache lies in this memory."""
        return isinstance(kv_cache, StaticKvCache) and kv_cache.block is self._block

    def fill(self, kv_cache: KvCache) -> None:
        """Continue from a KV cache that lies elsewhere; whatever was here is gone.

        Raises:
            ModelError: its tensors are not those of this model.
        """
        if not kv_cache.length:
            if self._block is not None:
                self._block.zero_()
            return
        came: Tensor | Sequence[Tensor] = (
            kv_cache.in_place() if isinstance(kv_cache, StaticKvCache) else kv_cache.valid()
        )
        if self._block is None:
            self._block = _allocated(came[0], came[-1], self._layers, self.capacity)
        if len(came) != len(self._block):
            raise ModelError(
                f"A KV cache of {len(came)} tensors came; the model's has {len(self._block)}.",
                "Send what the last pass returned, in a session that began with a prefill.",
            )
        self._block.zero_()
        kept = self._block.narrow(_POSITIONS, 0, kv_cache.length)
        if isinstance(came, Tensor):
            # One copy for all layers: starting one for each takes longer than copying.
            kept.copy_(came)
        else:
            for slot, tensor in zip(kept, came, strict=True):
                slot.copy_(tensor)

    def cache(self, length: int) -> StaticKvCache:
        """The first positions of this memory, as a value."""
        assert self._block is not None
        return StaticKvCache(self._block.unbind(), length, self._block)


def _allocated(keys: Tensor, values: Tensor, layers: int, capacity: int) -> Tensor:
    if keys.shape != values.shape or keys.dim() != 4:
        raise ModelError(
            f"Keys of shape {tuple(keys.shape)} and values of shape {tuple(values.shape)} do not "
            "fit one block.",
            "Set worker.engine to 'eager' for this model.",
        )
    # Passes compute in inference mode, whose tensors cannot be changed outside it.
    with torch.inference_mode(False):
        return torch.zeros(
            (2 * layers, 1, keys.shape[1], capacity, keys.shape[3]),
            dtype=keys.dtype,
            device=keys.device,
        )
