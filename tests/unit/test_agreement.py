"""The stored model computes what transformers computes from its source, or is refused."""

import json
import re
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from semgap.errors import ModelError
from semgap.inference.agreement import compare_with_transformers
from semgap.inference.worker_settings import WorkerSettings
from semgap.maintain import scan_models as scan
from semgap.measurement.job import run_benchmark
from semgap.measurement.job_settings import BenchmarkSettings, CaptureSettings, WorkloadSettings
from semgap.model.description import describe_model
from semgap.model.model_settings import ModelSettings
from semgap.model.prompt import seeded_prompt
from semgap.model.sources import pretrained_weights, seeded_weights, store_weights
from semgap.model.weights import map_weights
from semgap.modes import policy_of
from small_models import ARCHITECTURES, PROJECT, store_small_model

REMEDY = "A remedy."
PROMPT = [7919 * number % 500 for number in range(1, 25)]


def compared(stored, source, engine="eager", dtype="float32"):
    return compare_with_transformers(stored, source, engine, dtype, REMEDY, PROMPT, 2).agreement


def stored_from(source, folder, dtype="float32"):
    store_weights(pretrained_weights(source, dtype, REMEDY), folder)
    return folder


def test_every_architecture_agrees_to_the_bit(stored_model):
    folder, _manifest = stored_model
    found = compared(folder, folder)
    assert found.largest_difference == 0
    assert len(found.token_ids) == 3


@pytest.mark.parametrize("name", ["gptj", "llama-grouped-query"])
def test_an_engine_that_computes_otherwise_agrees_within_rounding(name, tmp_path):
    folder, _manifest = store_small_model(name, tmp_path)
    found = compared(folder, folder, "graph")
    assert found.engine == "graph"
    assert 0 < found.largest_difference < 1e-6
    assert len(found.token_ids) == 3


@pytest.fixture
def with_own_head(tmp_path):
    """A GPT-2 that was fine-tuned with a head of its own, while its config.json says tied."""
    folder = tmp_path / "fine-tuned"
    shutil.copytree(store_small_model("gpt2-tied", tmp_path)[0], folder)
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    head = torch.randn(500, 64, generator=torch.Generator().manual_seed(1))
    save_file({**tensors, "lm_head.weight": head}, file, {"format": "pt"})
    return folder


def test_a_head_of_its_own_is_never_dropped(with_own_head, tmp_path):
    """Either the stored model has it too, or the model is refused."""
    stored = stored_from(with_own_head, tmp_path / "stored")
    model = transformers.AutoModelForCausalLM.from_pretrained(with_own_head)
    tokens = torch.tensor([PROMPT])
    with torch.inference_mode():
        first_token = int(model(tokens).logits[0, -1].argmax())
    try:
        found = compared(stored, with_own_head)
    except ModelError as error:
        assert f"and {first_token} in transformers" in str(error)
        assert "tie_word_embeddings" in str(error)
    else:
        assert found.token_ids[0] == first_token


def test_other_weights_are_told_from_rounding(gptj, tmp_path):
    folder = tmp_path / "changed"
    shutil.copytree(gptj[0], folder)
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    name = "transformer.h.1.mlp.fc_out.weight"
    save_file({**tensors, name: tensors[name] * 1.01}, file, {"format": "pt"})
    with pytest.raises(ModelError, match=r"the prefill gives token .* the largest logit differs"):
        compared(gptj[0], folder)


@pytest.mark.parametrize(
    ("dtype", "remedy"), [("float16", "bfloat16 or float32"), ("float32", "Use other weights")]
)
def test_logits_that_are_nan_name_the_dtype(gptj, tmp_path, dtype, remedy):
    source = tmp_path / "overflowing"
    shutil.copytree(gptj[0], source)
    (file,) = source.glob("*.safetensors")
    tensors = load_file(file)
    tensors["transformer.h.0.mlp.fc_in.bias"] += 1e30 if dtype == "float16" else torch.nan
    save_file(tensors, file, {"format": "pt"})
    stored = stored_from(source, tmp_path / "stored", dtype)
    with pytest.raises(ModelError, match=f"logits are NaN in {dtype}.*{remedy}"):
        compared(stored, source, dtype=dtype)


def test_a_run_stops_at_the_first_pass_that_gives_nan(gptj, tmp_path):
    folder, manifest = gptj
    weights = [weight.clone() for weight in map_weights(folder, manifest)]
    weights[0].fill_(torch.nan)
    settings = BenchmarkSettings(
        "nan", 1, WorkloadSettings(), WorkerSettings(), CaptureSettings(use="off")
    )
    prompt = seeded_prompt(manifest, 8, 5, 0)
    run = (policy_of("local"), settings, "c", tmp_path / "capture", None, manifest, prompt, weights)
    with pytest.raises(ModelError, match="NaN in float32"):
        run_benchmark(*run)


DEEPSEEK_V3 = {
    **ARCHITECTURES["llama-grouped-query"],
    "model_type": "deepseek_v3",
    "num_key_value_heads": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
}
DYNAMIC_ROPE = {
    **ARCHITECTURES["llama-grouped-query"],
    "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0},
}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(
    "architecture",
    [DEEPSEEK_V3, DYNAMIC_ROPE, ARCHITECTURES["mixtral-experts"]],
    ids=["modules kept in float32", "dynamic RoPE", "experts"],
)
def test_models_that_need_real_tensors_or_several_dtypes(architecture, dtype, tmp_path):
    settings = ModelSettings("m", "seeded", architecture=architecture, dtype=dtype)
    store_weights(seeded_weights(json.dumps(architecture), dtype, 0), tmp_path / "seeded")
    compared(tmp_path / "seeded", tmp_path / "seeded", dtype=dtype)
    stored_from(tmp_path / "seeded", tmp_path / "stored", dtype)
    described = [describe_model(tmp_path / name, settings) for name in ("seeded", "stored")]
    assert described[0].tensors == described[1].tensors


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"num_hidden_layers": "2"}, 'num_hidden_layers: "2"; it has to be an integer'),
        ({"num_attention_heads": 0}, "num_attention_heads: 0; it has to be an integer of at least"),
        ({"pad_token_id": 500}, "pad_token_id: 500; it has to be below vocab_size, 500"),
        ({"num_attention_heads": 5}, "cannot build a causal LM|no model configuration"),
        ({"hidden_act": "abacus"}, "cannot build a causal LM.*abacus"),
    ],
)
def test_values_that_do_not_fit_are_named(change, match):
    architecture = {**ARCHITECTURES["llama-grouped-query"], **change}
    with pytest.raises(ModelError, match=match):
        seeded_weights(json.dumps(architecture), "float32", 0)


@pytest.mark.parametrize(
    ("architecture", "match"),
    [
        ({"model_type": "openai-gpt", "n_layer": 2, "n_embd": 64, "n_head": 4}, "no cache"),
        ({"model_type": "bert", "num_hidden_layers": 2, "hidden_size": 48}, "no cache"),
        (
            {**ARCHITECTURES["llama-grouped-query"], "model_type": "minimax"},
            "keeps MiniMaxCache, which cannot be sent",
        ),
    ],
)
def test_a_model_without_a_cache_that_can_be_sent_is_refused(architecture, match, tmp_path):
    settings = ModelSettings("m", "seeded", architecture=architecture)
    store_weights(seeded_weights(json.dumps(architecture), "float32", 0), tmp_path / "weights")
    with pytest.raises(ModelError, match=match):
        describe_model(tmp_path / "weights", settings)


def test_a_git_lfs_pointer_is_named(gptj, tmp_path):
    shutil.copytree(gptj[0], tmp_path / "cloned")
    (file,) = (tmp_path / "cloned").glob("*.safetensors")
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n")
    with pytest.raises(ModelError, match=rf"{file.name}' is a Git LFS pointer.*git lfs pull") as no:
        pretrained_weights(tmp_path / "cloned", "float32", REMEDY)
    assert "elete" not in str(no.value)


def test_the_page_of_model_types_says_what_a_scan_finds():
    page = (PROJECT / "docs" / "models.md").read_text()
    (pinned,) = re.findall(
        r"^transformers==(\S+)", (PROJECT / "envs" / "lock-current.txt").read_text(), re.MULTILINE
    )
    assert f"transformers {pinned}," in page
    if transformers.__version__ != pinned:
        pytest.skip(f"the page is of transformers {pinned}")
    assert "Failed without" not in page
    for model_type in ("gptj", "gpt2", "llama", "mistral", "mixtral", "bloom", "mamba", "rwkv"):
        outcome = scan.try_type(model_type)
        row = scan.rows_of([outcome])[0]
        assert f"| {row[0]} " in page
        assert row[1] in page
