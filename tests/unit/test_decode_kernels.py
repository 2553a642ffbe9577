"""What the kernels of a decode step are given; what they compute, only a GPU shows."""

import importlib.util
import json

import pytest
import torch
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from semgap.engine.graph import build_engine
from semgap.engine.graph_parts import fused_llama
from semgap.engine.graph_parts.decode_kernels import DecodeKernels, has_kernels_for
from semgap.engine.graph_parts.fused_gptj import _in_pairs, _rotations
from semgap.errors import ModelError
from semgap.model.skeleton import ModelSkeleton
from small_models import ARCHITECTURES

LLAMA = ARCHITECTURES["llama-grouped-query"]


def skeleton_of(architecture):
    return ModelSkeleton(json.dumps(architecture), torch.float32, torch.device("cpu"))


def turned(rotary, x):
    """As the kernel turns a head's numbers, at every position."""
    other = torch.arange(x.shape[-1]) ^ rotary.apart
    return x * rotary.cosines + x[..., other] * rotary.sines


def test_pairs_side_by_side_are_turned_as_by_the_matrices():
    matrices, x = _rotations(20, 8), torch.randn(20, 8)
    torch.testing.assert_close(turned(_in_pairs(matrices), x), (x[:, None] @ matrices)[:, 0])


@pytest.mark.parametrize("rope", ["default", "linear"])
def test_pairs_half_a_head_apart_are_turned_as_by_transformers(rope):
    parameters = {"rope_type": rope, "rope_theta": 10000.0, "factor": 2.0}
    skeleton = skeleton_of({**LLAMA, "rope_parameters": parameters})
    x = torch.randn(1, 1, 64, 16)
    positions = torch.arange(64)[None]
    cosines, sines = skeleton.module.model.rotary_emb(x, positions)
    _, expected = apply_rotary_pos_emb(x, x, cosines, sines)
    found = turned(fused_llama._in_halves(skeleton, torch.empty(0)), x)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("changed", "fits"),
    [
        ({}, True),
        ({"hidden_act": "gelu"}, False),
        ({"attention_bias": True}, False),
        ({"mlp_bias": True}, False),
        ({"head_dim": 24}, False),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, False),
    ],
)
def test_llamas_with_other_layers_are_left_to_transformers(changed, fits):
    skeleton = skeleton_of({**LLAMA, **changed})
    assert fused_llama.fits(skeleton.config) == fits
    # Without a GPU, each is.
    assert not build_engine(skeleton)._pass.places


def test_heads_of_a_power_of_two():
    assert [size for size in range(1, 260) if has_kernels_for(size)] == [2**n for n in range(9)]


def test_without_triton_the_remedy_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ModelError, match="Triton is not installed") as refused:
        DecodeKernels(torch.device("cuda"))
    assert "worker.engine" in refused.value.remedy
