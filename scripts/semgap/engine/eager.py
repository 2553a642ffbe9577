"""Operator by operator, as transformers does by default; each pass makes a longer KV cache."""

from collections.abc import Sequence

import transformers
from torch import Tensor

from semgap.engine import Engine
from semgap.errors import ModelError
from semgap.model.cache_form import Slot, cache_tensors, restored_cache, slots_of
from semgap.model.causal_lm import run_pass
from semgap.model.skeleton import ModelSkeleton
from semgap.state import KvCache

WEIGHT_COPIES = 1
COMPILES = False


def build_engine(skeleton: ModelSkeleton) -> Engine:
    return EagerEngine(skeleton)


class EagerEngine(Engine):
    def __init__(self, skeleton: ModelSkeleton) -> None:
        self._skeleton = skeleton
        # Of the model, not of a sequence: a prefill tells it.
        self._slots: tuple[Slot, ...] = ()
        self._empty_cache = transformers.DynamicCache()

    def bind(self, names: Sequence[str], tensors: Sequence[Tensor]) -> None:
        self._skeleton.bind(names, tensors)

    def release(self) -> None:
        self._skeleton.release()

    def forward(
        self, tokens: Tensor, kv_cache: KvCache, logits_to_keep: int
    ) -> tuple[Tensor, KvCache]:
        self._skeleton.check_complete()
        before = None
        if kv_cache.length:
            tensors = kv_cache.valid()
            if len(tensors) != len(self._slots):
                raise ModelError(
                    f"A KV cache of {len(tensors)} tensors came; the model's has "
                    f"{len(self._slots)}.",
                    "Send what the last pass returned, in a session that began with a prefill.",
                )
            before = restored_cache(self._empty_cache, self._slots, tensors, kv_cache.length)
        logits, after = run_pass(self._skeleton.module, tokens, before, logits_to_keep)
        if not self._slots:
            self._slots = slots_of(after)
            self._empty_cache = transformers.DynamicCache(config=self._skeleton.config)
        length = kv_cache.length + tokens.shape[1]
        return logits, KvCache(cache_tensors(after, self._slots), length)
