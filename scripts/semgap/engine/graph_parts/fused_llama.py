"""Llama's decode step on a GPU, by five kernels a layer; a prefill is what transformers computes.

The matrices that read the same vector lie one behind the other, so that one kernel multiplies them:
query, key and value, and the two of the feed-forward network. transformers sees its part of each.
"""

from collections.abc import Mapping
from typing import Any

import torch
import transformers
from torch import Tensor

from semgap.engine.graph_parts.decode_kernels import (
    MOST_KEYS,
    DecodeKernels,
    Norm,
    Rotary,
    has_kernels_for,
)
from semgap.engine.graph_parts.static_memory import StaticMemory
from semgap.engine.graph_parts.static_pass import TransformersPass
from semgap.model.skeleton import ModelSkeleton

# Ways of turning that do not depend on how long the text is.
_ROPE_TYPES = ("default", "linear", "llama3")


def fits(config: transformers.PreTrainedConfig) -> bool:
    """Whether these layers are those of the model."""
    return (
        config.model_type == "llama"
        and config.hidden_act == "silu"
        and not config.attention_bias
        and not config.mlp_bias
        and config.rope_parameters["rope_type"] in _ROPE_TYPES
        and has_kernels_for(config.head_dim)
    )


class FusedLlama(TransformersPass):
    """The decoder of Llama over joined weights, on a GPU."""

    def __init__(self, skeleton: ModelSkeleton) -> None:
        super().__init__(skeleton)
        config = skeleton.config
        like = torch.empty(0, dtype=skeleton.dtype, device=skeleton.device)
        self._kernels = DecodeKernels(skeleton.device)
        self._rotary = _in_halves(skeleton, like)
        self._heads = config.num_attention_heads
        self._key_heads = config.num_key_value_heads
        self._head_size = config.head_dim
        rows = [self._heads * self._head_size, *2 * [self._key_heads * self._head_size]]
        width = config.hidden_size
        self._reading = [like.new_empty(sum(rows), width) for _ in range(self.layers)]
        self._gated = [
            like.new_empty(2 * config.intermediate_size, width) for _ in range(self.layers)
        ]
        self.places: Mapping[str, Tensor] = {
            f"model.layers.{layer}.{name}.weight": place
            for layer, (reading, gated) in enumerate(zip(self._reading, self._gated, strict=True))
            for name, place in zip(
                (*(f"self_attn.{one}_proj" for one in "qkv"), *("mlp.gate_proj", "mlp.up_proj")),
                (*reading.split(rows), *gated.chunk(2)),
                strict=True,
            )
        }

    def run(
        self, tokens: Tensor, positions: Tensor, memory: StaticMemory, logits_to_keep: int
    ) -> Tensor:
        if tokens.shape[1] > 1 or memory.capacity > MOST_KEYS:
            return super().run(tokens, positions, memory, logits_to_keep)
        return self._decode(tokens, positions, memory)

    @torch.inference_mode()
    def _decode(self, token: Tensor, position: Tensor, memory: StaticMemory) -> Tensor:
        decoder, head, kernels = self._module.model, self._module.lm_head, self._kernels
        hidden = decoder.embed_tokens(token)[0, 0]
        made = hidden.new_empty(self._reading[0].shape[0])
        attended = hidden.new_empty(self._heads * self._head_size)
        gated = hidden.new_empty(self._gated[0].shape[0] // 2)
        one_head = made.view(1, -1, 1, self._head_size)[:, : self._key_heads]
        for number, layer in enumerate(decoder.layers):
            kernels.normed_product(
                hidden, _norm(layer.input_layernorm), self._reading[number], made
            )
            in_memory = memory.of_layer(number, one_head, one_head)
            kernels.attention(made, self._rotary, position, in_memory, attended)
            after = torch.empty_like(hidden)
            kernels.added_product(attended, layer.self_attn.o_proj.weight, hidden, after)
            norm = _norm(layer.post_attention_layernorm)
            kernels.normed_product(after, norm, self._gated[number], gated)
            hidden = torch.empty_like(after)
            kernels.added_product(gated, layer.mlp.down_proj.weight, after, hidden)
        logits: Tensor = hidden.new_empty(head.out_features)
        kernels.normed_product(hidden, _norm(decoder.norm), head.weight, logits)
        return logits[None, None]


def _norm(module: Any) -> Norm:
    return Norm(module.weight, module.variance_epsilon)


def _in_halves(skeleton: ModelSkeleton, like: Tensor) -> Rotary:
    """transformers' table for every position; a number's other one is half a head away."""
    positions = torch.arange(skeleton.config.max_position_embeddings, device=like.device)
    rotary: Any = skeleton.module.model.rotary_emb
    cosines, sines = (table[0].contiguous() for table in rotary(like, positions[None]))
    half = sines.shape[1] // 2
    sines[:, :half].neg_()
    return Rotary(cosines, sines, apart=half)
