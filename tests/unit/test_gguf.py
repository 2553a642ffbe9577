"""Weights and text from a GGUF file: read, described, or refused with the reason."""

import json
import re

import gguf
import numpy as np
import pytest
import torch

from semgap.errors import ModelError
from semgap.inference.agreement import compare_with_transformers
from semgap.model.description import describe_model
from semgap.model.model_settings import ModelSettings, gguf_file, model_files
from semgap.model.sources import pretrained_weights, store_origin, store_weights
from semgap.model.text import text_of, token_ids_of
from semgap.plumbing.files import digest_of
from small_gguf import EMBEDDING, HEADS, LAYERS, write_small_gguf

REMEDY = "A remedy."
TEXT = "the cat, the dog"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "source").mkdir()
    write_small_gguf(tmp_path / "source" / "small.gguf")
    return tmp_path / "source"


def stored(folder, dtype="float32"):
    weights = folder.with_name("weights")
    store_weights(pretrained_weights(folder, dtype, REMEDY), weights)
    store_origin(folder, weights, sha256=None)
    return weights


def described(folder, dtype="float32"):
    settings = ModelSettings("small", "folder", folder=str(folder), dtype=dtype)
    return describe_model(stored(folder, dtype), settings)


def test_the_weights_are_those_of_the_file(folder):
    """Dequantised here by gguf's own code; rotated pairs lie side by side there, apart here."""
    source = pretrained_weights(folder, "float32", REMEDY)
    packed = {
        tensor.name: torch.tensor(gguf.dequantize(tensor.data, tensor.tensor_type))
        for tensor in gguf.GGUFReader(folder / "small.gguf").tensors
    }
    assert len(source.sizes_bytes) == len(packed)
    assert torch.equal(source.weight("model.embed_tokens.weight"), packed["token_embd.weight"])
    for layer in range(LAYERS):
        theirs = packed[f"blk.{layer}.attn_q.weight"]
        apart = theirs.reshape(HEADS, EMBEDDING // HEADS // 2, 2, EMBEDDING).transpose(1, 2)
        ours = source.weight(f"model.layers.{layer}.self_attn.q_proj.weight")
        assert torch.equal(ours, apart.reshape(EMBEDDING, EMBEDDING))
        down = source.weight(f"model.layers.{layer}.mlp.down_proj.weight")
        assert torch.equal(down, packed[f"blk.{layer}.ffn_down.weight"])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_stored_model_agrees_with_transformers(folder, dtype):
    weights = stored(folder, dtype)
    prompt = token_ids_of(TEXT, weights)
    found = compare_with_transformers(weights, folder, "eager", dtype, REMEDY, prompt, 2)
    assert found.agreement.largest_difference == 0


def test_it_is_described_with_name_hash_and_formats(folder):
    manifest = described(folder)
    assert manifest.pretrained
    assert manifest.dequantised_from is not None
    assert manifest.dequantised_from.name == "small.gguf"
    assert manifest.dequantised_from.sha256 == digest_of(folder / "small.gguf")
    matrices = 1 + 7 * LAYERS
    assert manifest.dequantised_from.tensors == {"Q8_0": matrices, "F32": 2 * LAYERS + 1}


def test_the_description_is_the_same_wherever_the_file_lies(folder, tmp_path):
    manifest = described(folder)
    moved = folder.rename(tmp_path / "moved")
    assert described(moved).fingerprint == manifest.fingerprint
    assert str(tmp_path) not in manifest.model_config
    assert "quantization_config" not in json.loads(manifest.model_config)


def test_text_becomes_tokens_and_text_again(folder):
    weights = stored(folder)
    token_ids = token_ids_of(TEXT, weights)
    assert text_of(token_ids, weights) == TEXT
    # "the" is one token, every other letter one of its own.
    assert len(token_ids) == len(TEXT) - 2 * len("the") + 2


def test_a_text_without_tokens_is_refused(folder):
    with pytest.raises(ModelError, match="has no tokens"):
        token_ids_of("", stored(folder))


def test_a_folder_without_a_tokenizer_is_named(gptj):
    with pytest.raises(ModelError, match=r"holds no tokenizer\. .* leave out workload.prompt_text"):
        token_ids_of(TEXT, gptj[0])


def test_a_folder_with_several_files_is_refused(folder):
    (folder / "other.gguf").touch()
    with pytest.raises(ModelError, match=r"2 GGUF files, 'other.gguf' and 'small.gguf'.*Leave one"):
        pretrained_weights(folder, "float32", REMEDY)


def test_weights_in_the_usual_form_come_first(folder):
    assert model_files(folder) == [str(folder / "small.gguf")]
    (folder / "model.safetensors").touch()
    assert gguf_file(folder) is None
    assert model_files(folder) == [
        str(folder / name) for name in ("config.json", "model.safetensors")
    ]


def changed(content, place, to):
    return content[:place] + to + content[place + len(to) :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:100],
        lambda content: content[:0],
        lambda content: changed(content, 0, b"GGML"),
        lambda content: np.random.default_rng(0).bytes(len(content)),
    ],
    ids=["half", "a header's beginning", "empty", "another kind", "noise"],
)
def test_refused_a_gguf_file_that_cannot_be_read(folder, damage):
    file = folder / "small.gguf"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ModelError, match=re.escape(f"The model in '{folder}' cannot be read: ")):
        pretrained_weights(folder, "float32", REMEDY)


def test_refused_a_download_that_was_changed_since(folder):
    weights, file = stored(folder), folder / "small.gguf"
    store_origin(folder, weights, digest_of(file))
    with pytest.raises(ModelError, match=r"small.gguf' is not the file that .* Delete '.*source'"):
        store_origin(folder, weights, "0" * 64)


def test_refused_an_architecture_that_transformers_does_not_read(folder):
    write_small_gguf(folder / "small.gguf", "abacus")
    with pytest.raises(ModelError, match=r"cannot be read: .*abacus is not supported"):
        pretrained_weights(folder, "float32", REMEDY)
