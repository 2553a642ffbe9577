"""GPT-J's layers with few and large operators: a decode step is bound by reading the weights.

In transformers, four matrices read a layer's input (query, key, value and the first of the
feed-forward network), and what two others make of their results is added. A small matrix is read
from memory at a lower rate than a large one, so here the four are one, and so are the two.
Attention is PyTorch's fused one; the rotary embedding of all heads is one product with a matrix.
"""

from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.nn import functional

from semgap.engine.graph_parts.decode_kernels import (
    MOST_KEYS,
    DecodeKernels,
    Norm,
    Rotary,
    has_kernels_for,
)
from semgap.engine.graph_parts.static_memory import StaticMemory
from semgap.engine.graph_parts.static_pass import StaticPass
from semgap.model.skeleton import ModelSkeleton


@dataclass(frozen=True)
class _Layer:
    """One layer's joined matrices; what came is a part of them."""

    # Shape (3 × width + inner width, width): query, key, value, then the feed-forward network.
    reading: Tensor
    reading_bias: Tensor
    writing: Tensor  # shape (width, width + inner width): attention, then the feed-forward network


def fits(config: transformers.PreTrainedConfig) -> bool:
    """Whether these layers are those of the model."""
    return (
        config.model_type == "gptj"
        and config.activation_function == "gelu_new"
        and config.rotary_dim is not None
    )


class FusedGptj(StaticPass):
    """The decoder of GPT-J over joined weights."""

    def __init__(self, skeleton: ModelSkeleton) -> None:
        config = skeleton.config
        self._module: Any = skeleton.module
        self.layers = config.n_layer
        self._width = config.n_embd
        self._heads = config.n_head
        self._head_size = config.n_embd // config.n_head
        inner = config.n_inner or 4 * config.n_embd
        like = torch.empty(0, dtype=skeleton.dtype, device=skeleton.device)
        self._layers = [
            _Layer(
                reading=like.new_empty(3 * self._width + inner, self._width),
                reading_bias=like.new_zeros(3 * self._width + inner),
                writing=like.new_empty(self._width, self._width + inner),
            )
            for _ in range(self.layers)
        ]
        self._rotations = _rotations(config.n_positions, config.rotary_dim).to(like)
        on_gpu = skeleton.device.type == "cuda" and has_kernels_for(self._head_size)
        self._kernels = DecodeKernels(skeleton.device) if on_gpu else None
        self._rotary = _in_pairs(self._rotations)
        self._hidden = like.new_tensor(-torch.inf)
        self._seen = like.new_zeros(())
        self.places = {
            f"transformer.h.{number}.{name}": place
            for number, layer in enumerate(self._layers)
            for name, place in self._parts(layer).items()
        }

    def _parts(self, layer: _Layer) -> dict[str, Tensor]:
        width = self._width
        return {
            "attn.q_proj.weight": layer.reading[:width],
            "attn.k_proj.weight": layer.reading[width : 2 * width],
            "attn.v_proj.weight": layer.reading[2 * width : 3 * width],
            "mlp.fc_in.weight": layer.reading[3 * width :],
            "mlp.fc_in.bias": layer.reading_bias[3 * width :],
            "attn.out_proj.weight": layer.writing[:, :width],
            "mlp.fc_out.weight": layer.writing[:, width:],
        }

    @torch.inference_mode()
    def run(
        self, tokens: Tensor, positions: Tensor, memory: StaticMemory, logits_to_keep: int
    ) -> Tensor:
        if self._kernels and tokens.shape[1] == 1 and memory.capacity <= MOST_KEYS:
            return self._decode(self._kernels, tokens, positions, memory)
        decoder = self._module.transformer
        mask = torch.where(memory.behind(positions), self._hidden, self._seen)
        rotations = self._rotations[positions]
        hidden = decoder.wte(tokens)[0]
        for number, (block, layer) in enumerate(zip(decoder.h, self._layers, strict=True)):
            hidden = hidden + self._layer(
                block.ln_1(hidden), block, layer, number, rotations, positions, mask, memory
            )
        logits: Tensor = self._module.lm_head(decoder.ln_f(hidden[-logits_to_keep:]))
        return logits[None]

    def _decode(
        self, kernels: DecodeKernels, token: Tensor, position: Tensor, memory: StaticMemory
    ) -> Tensor:
        """Over one new position, by four kernels a layer."""
        decoder, head = self._module.transformer, self._module.lm_head
        width = self._width
        hidden = decoder.wte(token)[0, 0]
        made = hidden.new_empty(3 * width)
        joined = hidden.new_empty(self._layers[0].writing.shape[1])
        one_head = made.view(3, 1, self._heads, 1, self._head_size)
        for number, (block, layer) in enumerate(zip(decoder.h, self._layers, strict=True)):
            norm = _norm(block.ln_1)
            kernels.normed_product(hidden, norm, layer.reading[: 3 * width], made)
            # The feed-forward network does not need what attention makes.
            with kernels.beside():
                kernels.attention(
                    made,
                    self._rotary,
                    position,
                    memory.of_layer(number, one_head[1], one_head[2]),
                    joined[:width],
                )
            kernels.normed_product(
                hidden,
                norm,
                layer.reading[3 * width :],
                joined[width:],
                layer.reading_bias[3 * width :],
                gelu=True,
            )
            kernels.join()
            after = torch.empty_like(hidden)
            kernels.added_product(joined, layer.writing, hidden, after, block.mlp.fc_out.bias)
            hidden = after
        logits: Tensor = hidden.new_empty(head.out_features)
        kernels.normed_product(hidden, _norm(decoder.ln_f), head.weight, logits, head.bias)
        return logits[None, None]

    def _layer(
        self,
        read: Tensor,
        block: Any,
        layer: _Layer,
        number: int,
        rotations: Tensor,
        positions: Tensor,
        mask: Tensor,
        memory: StaticMemory,
    ) -> Tensor:
        """What a layer adds to its input, from the input's layer norm of shape (n, width)."""
        new, width = read.shape
        made = functional.linear(read, layer.reading, layer.reading_bias)
        # Query and key of all heads, and of each the part that is rotated.
        turned = made[:, : 2 * width].view(new, 2 * self._heads, self._head_size)
        turned = turned[..., : rotations.shape[-1]]
        turned.copy_(turned @ rotations)
        of_heads = made[:, : 3 * width].view(new, 3, 1, self._heads, self._head_size)
        of_heads = of_heads.permute(1, 2, 3, 0, 4)
        keys, values = memory.write(number, of_heads[1:], positions)
        attended = functional.scaled_dot_product_attention(of_heads[0], keys, values, mask)
        joined = read.new_empty(new, layer.writing.shape[1])
        joined[:, :width].view(new, self._heads, self._head_size).copy_(attended[0].transpose(0, 1))
        torch.ops.aten.gelu.out(made[:, 3 * width :], approximate="tanh", out=joined[:, width:])
        return functional.linear(joined, layer.writing, block.mlp.fc_out.bias)


def _norm(module: Any) -> Norm:
    return Norm(module.weight, module.eps, module.bias)


def _in_pairs(rotations: Tensor) -> Rotary:
    """What the matrices do to a number and to the other of its pair, which is next to it."""
    here = torch.arange(rotations.shape[-1], device=rotations.device)
    return Rotary(rotations[:, here, here], rotations[:, here ^ 1, here], apart=1)


def _rotations(positions: int, size: int) -> Tensor:
    """The matrix of each position's rotary embedding: shape (positions, size, size), float32.

    Elements 2j and 2j + 1 are turned by the position × 10000^(−2j / size), as in Su et al.,
    "RoFormer" (2021), equation 15, and in transformers' GPT-J.
    """
    frequencies = 1.0 / (10000 ** (torch.arange(0, size, 2, dtype=torch.int64) / size))
    angles = torch.arange(positions, dtype=torch.float32)[:, None] * frequencies
    matrices = torch.zeros(positions, size, size)
    even, odd = torch.arange(0, size, 2), torch.arange(1, size, 2)
    matrices[:, even, even] = matrices[:, odd, odd] = torch.cos(angles)
    matrices[:, even, odd] = torch.sin(angles)
    matrices[:, odd, even] = -torch.sin(angles)
    return matrices
