"""How the model is run: what every engine offers to the worker."""

import importlib
from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from semgap.model.skeleton import ModelSkeleton
from semgap.state import KvCache


class Engine(Protocol):
    """Runs one model with the weights that are bound to it."""

    def bind(self, names: Sequence[str], tensors: Sequence[Tensor]) -> None:
        """Compute with these weights from now on.

        Raises:
            ModelError: a name is unknown, or a tensor has another shape or dtype than it needs.
        """
        ...

    def release(self) -> None:
        """Forget all bound weights: the next pass without new ones is an error."""
        ...

    def forward(
        self, tokens: Tensor, kv_cache: KvCache, logits_to_keep: int
    ) -> tuple[Tensor, KvCache]:
        """Run one pass over ``tokens``, continuing from ``kv_cache``.

        Args:
            tokens: int64, shape (1, new positions).
            kv_cache: what the last pass led to, or the same as tensors that have travelled.
            logits_to_keep: number of last positions to compute logits for; 0 means all.

        Returns:
            Logits of shape (1, kept positions, vocabulary) and the extended KV cache, both in the
            model's dtype on its device.

        Raises:
            ModelError: a weight is not bound.
        """
        ...


class EngineModule(Protocol):
    """What a module in this folder defines to be an engine."""

    WEIGHT_COPIES: int  # how many times the weights are in the worker's memory, at most
    COMPILES: bool  # whether it compiles kernels for a GPU, by Triton

    def build_engine(self, skeleton: ModelSkeleton) -> Engine:
        """Make an engine for a model whose weights are not there yet."""
        ...


def load_engine(name: str) -> EngineModule:
    """Import the engine of that name, and no other."""
    module: EngineModule = importlib.import_module(f"semgap.engine.{name}")
    return module
