"""One pass over a static KV cache: what an engine calls or captures."""

from collections.abc import Mapping
from typing import Protocol

import torch
import transformers
from torch import Tensor

from semgap.engine.graph_parts.static_memory import StaticMemory
from semgap.errors import ModelError
from semgap.model.causal_lm import arguments_of, run_pass
from semgap.model.skeleton import ModelSkeleton


class StaticPass(Protocol):
    """Computes with the weights that are bound to a skeleton, always from the same memory."""

    layers: int  # number of layers, each of which keeps keys and values of every position
    # Where weights must lie, by name; the others may lie where they came.
    places: Mapping[str, Tensor]

    def run(
        self, tokens: Tensor, positions: Tensor, memory: StaticMemory, logits_to_keep: int
    ) -> Tensor:
        """Run over ``tokens`` and write their keys and values to ``memory``.

        Args:
            tokens: int64, shape (1, new positions).
            positions: int64, shape (new positions,): which ones these are.
            logits_to_keep: number of last positions to compute logits for; 0 means all.

        Returns:
            Logits of shape (1, kept positions, vocabulary).
        """
        ...


class TransformersPass(StaticPass):
    """What transformers computes, with positions and mask given.

    Raises:
        ModelError: some layer keeps something else than keys and values of every position, or the
            model takes no positions.
    """

    def __init__(self, skeleton: ModelSkeleton) -> None:
        self._module = skeleton.module
        self.layers = _layers_of(skeleton)
        self.places: Mapping[str, Tensor] = {}
        limits = torch.finfo(skeleton.dtype)
        self._hidden = torch.tensor(limits.min, dtype=skeleton.dtype, device=skeleton.device)
        self._seen = torch.zeros_like(self._hidden)

    def run(
        self, tokens: Tensor, positions: Tensor, memory: StaticMemory, logits_to_keep: int
    ) -> Tensor:
        with torch.inference_mode():
            mask = torch.where(memory.behind(positions), self._hidden, self._seen)[None, None]
        memory.positions = positions
        more = {"position_ids": positions[None], "attention_mask": mask}
        logits, _memory = run_pass(self._module, tokens, memory, logits_to_keep, more)
        return logits


def _layers_of(skeleton: ModelSkeleton) -> int:
    layers = transformers.DynamicCache(config=skeleton.config).layers
    plain = bool(layers) and all(type(layer) is transformers.DynamicLayer for layer in layers)
    if not plain or "position_ids" not in arguments_of(type(skeleton.module).forward):
        raise ModelError(
            f"Models of type '{skeleton.config.model_type}' do not keep keys and values of every "
            "position in every layer, or take no positions, so their cache has no fixed place.",
            "Set worker.engine to 'eager', and leave 'op_graph' out of modes, for this model.",
        )
    return len(layers)
