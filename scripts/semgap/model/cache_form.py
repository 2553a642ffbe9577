"""A transformers cache as tensors in a fixed order, and back.

A cache has a layer object per layer of the model: keys and values, those of a window, states of a
fixed size, or several of them. Which it has depends on the model alone, so the first pass tells it.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import transformers
from torch import Tensor

from semgap.errors import ModelError


class Slot(NamedTuple):
    """Where a cache keeps one tensor."""

    layer: int
    attribute: str
    state: int | None  # which one, where a layer has several under one name

    @property
    def name(self) -> str:
        """The slot in words."""
        return ".".join(str(part) for part in self if part is not None)


def _put_keys(layer: Any, tensor: Tensor, _state: int | None) -> None:
    layer.lazy_initialization(tensor, tensor)
    layer.keys = tensor


def _put_values(layer: Any, tensor: Tensor, _state: int | None) -> None:
    layer.values = tensor


def _put_indexer_keys(layer: Any, tensor: Tensor, _state: int | None) -> None:
    layer.lazy_initialization_indexer(tensor)
    layer.indexer_keys = tensor


# Updating copies, which these need: a pass changes its states in place.
def _put_conv_state(layer: Any, tensor: Tensor, state: int | None) -> None:
    layer.update_conv_state(tensor, state_idx=state)


def _put_recurrent_state(layer: Any, tensor: Tensor, state: int | None) -> None:
    layer.update_recurrent_state(tensor, state_idx=state)


_ATTENTION: Mapping[str, Callable[[Any, Tensor, int | None], None]] = {
    "keys": _put_keys,
    "values": _put_values,
}
_STATES: Mapping[str, Callable[[Any, Tensor, int | None], None]] = {
    "conv_states": _put_conv_state,
    "recurrent_states": _put_recurrent_state,
}
# By class name: versions of transformers differ in the classes they have.
_LAYERS = {
    "DummyLayer": {},
    "DynamicLayer": _ATTENTION,
    "DynamicSlidingWindowLayer": _ATTENTION,
    "DynamicIndexedLayer": {**_ATTENTION, "indexer_keys": _put_indexer_keys},
    "LinearAttentionLayer": _STATES,
    "LinearAttentionAndFullAttentionLayer": {**_ATTENTION, **_STATES},
    "LinearAttentionAndSlidingWindowAttentionLayer": {**_ATTENTION, **_STATES},
}
# The window's size as a tensor: the same in every pass.
_CONSTANTS = {"_sliding_window_tensor"}


def slots_of(cache: Any) -> tuple[Slot, ...]:
    """Where a cache that a pass has filled keeps its tensors.

    Raises:
        ModelError: the cache keeps something that cannot be put back into a new one.
    """
    if type(cache) is not transformers.DynamicCache:
        raise _unlisted(type(cache).__name__)
    slots = tuple(_held(cache.layers))
    for slot in slots:
        kind = type(cache.layers[slot.layer]).__name__
        if slot.attribute not in _LAYERS.get(kind, {}):
            raise _unlisted(f"{kind}.{slot.attribute}")
    return slots


def cache_tensors(cache: Any, slots: Sequence[Slot]) -> tuple[Tensor, ...]:
    """The tensors that a cache keeps in these slots, each contiguous."""
    return tuple(_at(cache.layers[slot.layer], slot).contiguous() for slot in slots)


def window_of(cache: Any, slot: Slot) -> int | None:
    """The most positions that a slot keeps, if a window bounds them."""
    window = getattr(cache.layers[slot.layer], "sliding_window", None)
    # The newest position of a window is the next pass's own.
    return None if window is None or slot.attribute not in _ATTENTION else int(window) - 1


def restored_cache(
    empty: transformers.DynamicCache,
    slots: Sequence[Slot],
    tensors: Sequence[Tensor],
    positions: int,
) -> transformers.DynamicCache:
    """The cache that keeps ``tensors`` in ``slots`` after passes over ``positions`` tokens.

    Keys and values are used as they are; they must not change as long as the cache is used.

    Args:
        empty: a cache of the model's configuration, to copy; making one takes three times as long.
    """
    cache = copy.copy(empty)
    cache.layers = [_copied(layer) for layer in empty.layers]
    for slot, tensor in zip(slots, tensors, strict=True):
        layer = cache.layers[slot.layer]
        _LAYERS[type(layer).__name__][slot.attribute](layer, tensor, slot.state)
        if hasattr(layer, "cumulative_length"):
            layer.cumulative_length = positions
    return cache


def _copied(layer: Any) -> Any:
    """A copy of a layer without content, which shares no dictionary with it."""
    fresh = copy.copy(layer)
    vars(fresh).update(
        {name: dict(value) for name, value in vars(layer).items() if isinstance(value, dict)}
    )
    return fresh


def _held(layers: Sequence[Any]) -> Iterator[Slot]:
    for index, layer in enumerate(layers):
        for attribute, value in vars(layer).items():
            members = value.items() if isinstance(value, dict) else ((None, value),)
            for state, tensor in members:
                if isinstance(tensor, Tensor) and attribute not in _CONSTANTS:
                    yield Slot(index, attribute, state)


def _at(layer: Any, slot: Slot) -> Tensor:
    value = getattr(layer, slot.attribute)
    tensor: Tensor = value if slot.state is None else value[slot.state]
    return tensor


def _unlisted(what: str) -> ModelError:
    return ModelError(
        f"The model's cache keeps {what}, which cannot be sent and put back.",
        "Choose a model whose cache consists of keys and values, of windows of them, or of states "
        "of linear attention (docs/models.md lists model types).",
    )
