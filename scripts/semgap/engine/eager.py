"""Operator by operator, as transformers does by default; each pass makes a longer KV cache."""

from collections.abc import Sequence

import torch
import transformers
from torch import Tensor

from semgap.engine.engine_contract import Engine
from semgap.model.skeleton import ModelSkeleton, kv_cache_tensors
from semgap.placements.kv_cache import KvCache, cache_of


def build_engine(skeleton: ModelSkeleton) -> Engine:
    return EagerEngine(skeleton)


class EagerEngine(Engine):
    def __init__(self, skeleton: ModelSkeleton) -> None:
        self._skeleton = skeleton

    def bind(self, names: Sequence[str], tensors: Sequence[Tensor]) -> None:
        self._skeleton.bind(names, tensors)

    def release(self) -> None:
        self._skeleton.release()

    def forward(
        self, tokens: Tensor, kv_cache: KvCache, logits_to_keep: int
    ) -> tuple[Tensor, KvCache]:
        self._skeleton.check_complete()
        tensors = kv_cache.valid()
        layers = list(zip(tensors[0::2], tensors[1::2], strict=True))
        with torch.inference_mode():
            output = self._skeleton.module(
                input_ids=tokens,
                past_key_values=transformers.DynamicCache(layers or None),
                use_cache=True,
                logits_to_keep=logits_to_keep,
            )
        return output.logits, cache_of(kv_cache_tensors(output.past_key_values))
