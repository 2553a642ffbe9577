"""Try every causal LM type that transformers has, built small, and write docs/models.md.

Each type is stored from a seed, compared with transformers' own passes, and described, in a process
of its own. What is refused has to be refused with a cause and a remedy.
"""

import json
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers

from semgap.errors import ModelError
from semgap.inference.agreement import compare_with_transformers
from semgap.model.causal_lm import run_pass
from semgap.model.description import describe_model
from semgap.model.manifest import Manifest
from semgap.model.model_settings import ModelSettings
from semgap.model.prompt import seeded_prompt
from semgap.model.sources import seeded_weights, store_weights
from semgap.plumbing.files import write_atomically
from semgap.plumbing.markup import escaped_markdown, markdown_table

PROJECT = Path(__file__).parents[3]
_TIMEOUT_S = 60.0
_PROMPT_TOKENS, _DECODE_STEPS = 24, 2
_MOST_PARAMETERS = 50_000_000
# Kept out of a small configuration: derived from the number of layers, or of no effect.
_DERIVED = {"layer_types", "mlp_layer_types", "attention_layers", "dtype", "architectures"}
# The values of a small model, under all names that architectures have for them.
_SMALL = {
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), 512),
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "embedding_dim"), 64),
    **dict.fromkeys(
        (
            *("intermediate_size", "ffn_dim", "n_inner", "d_ff", "ffn_hidden_size"),
            *("encoder_ffn_dim", "decoder_ffn_dim", "intermediate_size_mlp", "attn_ffn_dim"),
        ),
        128,
    ),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 32),
    **dict.fromkeys(
        (
            *("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
            *("decoder_layers", "encoder_layers"),
        ),
        2,
    ),
    **dict.fromkeys(
        (
            *("num_attention_heads", "n_head", "n_heads", "num_heads"),
            *("decoder_attention_heads", "encoder_attention_heads"),
        ),
        4,
    ),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads", "multi_query_group_num"), 2),
    **dict.fromkeys(("head_dim", "kv_channels"), 16),
    **dict.fromkeys(
        (
            *("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"),
            "ffn_num_experts",
        ),
        4,
    ),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k"), 2),
    **dict.fromkeys(("n_positions", "max_position_embeddings", "n_ctx", "max_seq_len"), 256),
    # Shorter than the prompt.
    "sliding_window": 8,
}
_LATENT_ATTENTION = {
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
    "head_dim": 8,
    "index_head_dim": 16,
    "index_n_heads": 2,
}
_STATE_SPACE = {
    "num_hidden_layers": 4,
    "n_layer": 4,
    "rotary_dim": 8,
    "state_size": 16,
    "mamba_d_state": 16,
    "mamba_d_head": 32,
    "mamba_n_heads": 4,
    "mamba_num_heads": 4,
    "mamba_head_dim": 32,
    "head_dim": 32,
    "num_heads": 4,
    "n_groups": 1,
}
# Architectures differ in which values fit each other; the first that transformers runs is taken.
_VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"num_key_value_heads": 4, "num_kv_heads": 4},
    _LATENT_ATTENTION,
    {**_LATENT_ATTENTION, "num_hidden_layers": 4, "n_group": 1, "topk_group": 1},
    _STATE_SPACE,
    {"num_hidden_layers": 8, "num_key_value_heads": 4},
)
# What a type demands of its own; None leaves the key out.
_DEMANDS: dict[str, dict[str, Any]] = {
    "bamba": {"mamba_d_head": 32, "mamba_n_heads": 4, "attn_layer_indices": [1]},
    "granitemoehybrid": {
        "mamba_d_head": 32,
        "mamba_n_heads": 4,
        "layer_types": ["mamba", "attention"],
    },
    "deepseek_v2": {**_LATENT_ATTENTION, "topk_method": "greedy", "num_experts_per_tok": 2},
    "deepseek_v3": {**_LATENT_ATTENTION, "n_group": 1, "topk_group": 1, "rope_interleave": False},
    "ernie4_5_moe": {"moe_k": 2, "moe_num_experts": 4},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 8},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16},
    "ministral": {"head_dim": 16},
    "nemotron": {"head_dim": 16, "num_key_value_heads": 2},
    "llama4_text": {"no_rope_layers": [1, 0], "num_local_experts": 2, "num_experts_per_tok": 1},
    "jamba": {"num_hidden_layers": 8, "use_mamba_kernels": False},
    "kimi_linear": {"num_hidden_layers": 8},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "rwkv": {"intermediate_size": 128, "attention_hidden_size": 64},
    "xlnet": {"d_head": 16},
}


class Outcome(NamedTuple):
    """What became of one model type."""

    model_type: str
    verdict: str  # agrees, refused, not small, or failed
    detail: str


def small_architectures(model_type: str) -> Iterator[dict[str, Any]]:
    """Small configurations of a type, the most ordinary first."""
    whole = transformers.CONFIG_MAPPING[model_type]().to_dict()
    for variant in _VARIANTS:
        small = _shrunk(whole, {**_SMALL, **variant}) | _DEMANDS.get(model_type, {})
        yield {
            "model_type": model_type,
            **{key: value for key, value in small.items() if key != "model_type"},
        }


def _shrunk(values: dict[str, Any], small: dict[str, Any]) -> dict[str, Any]:
    shrunk: dict[str, Any] = {}
    for key, value in values.items():
        if key in _DERIVED:
            continue
        if isinstance(value, dict) and "model_type" in value:
            shrunk[key] = {"model_type": value["model_type"], **_shrunk(value, small)}
        elif key in small and isinstance(value, int) and value > 0:
            shrunk[key] = min(value, small[key])
        elif key.endswith("token_id") and isinstance(value, int):
            shrunk[key] = min(value, _SMALL["vocab_size"] - 1)
        else:
            shrunk[key] = value
    return shrunk


def try_type(model_type: str) -> Outcome:
    """Store, compare and describe the first small configuration that transformers runs."""
    why = "no small configuration"
    for architecture in small_architectures(model_type):
        try:
            _run_in_transformers(architecture)
        except ModelError:
            pass  # It runs, without a cache: the refusal is ours to give.
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            continue
        try:
            return Outcome(model_type, "agrees", _form(_described(architecture)))
        except ModelError as error:
            return Outcome(model_type, "refused", str(error))
        except Exception as error:
            return Outcome(model_type, "failed", f"{type(error).__name__}: {error}")
    return Outcome(model_type, "not small", why)


def _run_in_transformers(architecture: dict[str, Any]) -> None:
    values = {key: value for key, value in architecture.items() if key != "model_type"}
    config = transformers.AutoConfig.for_model(architecture["model_type"], **values)
    with torch.device("meta"):
        built = transformers.AutoModelForCausalLM.from_config(config)
    if sum(parameter.numel() for parameter in built.parameters()) > _MOST_PARAMETERS:
        raise ValueError("too many parameters")
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    tokens = torch.arange(1, 25)[None]
    _, cache = run_pass(model, tokens, None, 1)
    run_pass(model, tokens[:, :1], cache, 1)


def _described(architecture: dict[str, Any]) -> Manifest:
    settings = ModelSettings("small", "seeded", architecture=architecture)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "small" / "weights"
        store_weights(seeded_weights(json.dumps(architecture), "float32", 0), weights)
        manifest = describe_model(weights, settings)
        prompt = seeded_prompt(manifest, _PROMPT_TOKENS, _DECODE_STEPS, seed=0).token_ids
        remedy = settings.source_remedy
        compare_with_transformers(
            weights, weights, "eager", "float32", remedy, prompt, _DECODE_STEPS
        )
        return manifest


def _form(manifest: Manifest) -> str:
    """What the cache consists of, in words."""
    kinds = {
        "states of a fixed size"
        if not tensor.bytes_per_position
        else "keys and values"
        if tensor.most_positions is None
        else "keys and values of a window"
        for tensor in manifest.kv_cache
    }
    return " + ".join(sorted(kinds))


def scan(model_types: list[str]) -> Iterator[Outcome]:
    """Try each type in a process of its own."""
    context = multiprocessing.get_context("fork")
    for model_type in model_types:
        answer, question = context.Pipe(duplex=False)
        child = context.Process(target=_answer, args=(question, model_type))
        child.start()
        question.close()
        try:
            given = answer.recv() if answer.poll(_TIMEOUT_S) else None
        except EOFError:
            given = None
        child.kill()
        child.join()
        yield given or Outcome(model_type, "not small", f"no answer within {_TIMEOUT_S:g} s")


def _answer(question: Any, model_type: str) -> None:
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    question.send(try_type(model_type))


def page(outcomes: list[Outcome]) -> str:
    """docs/models.md."""
    of = {
        verdict: [outcome for outcome in outcomes if outcome.verdict == verdict]
        for verdict in ("agrees", "refused", "not small", "failed")
    }
    sections = [
        "# Model types\n",
        "<!-- made by `make models`: scripts/semgap/maintain/scan_models.py -->\n",
        f"Every causal LM type of transformers {transformers.__version__}, built small with seeded "
        "weights in float32 on a CPU: stored, then a prefill of 24 tokens and two decode steps "
        "compared with transformers' own, on tokens and logits. `check_model` does the same with "
        "each experiment's real weights, in its dtype.\n",
        f"**{len(of['agrees'])} agree with transformers, {len(of['refused'])} are refused with the "
        f"reason, {len(of['not small'])} could not be built small by the scan's rules** (they may "
        "run; the experiment's own check will say).\n",
        "## Agree with transformers\n",
        _table("What crosses as KV cache", of["agrees"]),
        "## Refused\n",
        _table("Message", of["refused"]),
        "## Not built small\n",
        _table("What transformers said", of["not small"]),
    ]
    if of["failed"]:
        sections += ["## Failed without a message of ours\n", _table("Error", of["failed"])]
    return "\n".join(sections)


def _table(heading: str, outcomes: list[Outcome]) -> str:
    return markdown_table(["Model type", heading], rows_of(outcomes), text_columns=2) + "\n"


def rows_of(outcomes: list[Outcome]) -> list[list[str]]:
    """The cells of a table of model types."""
    return [
        [f"`{outcome.model_type}`", escaped_markdown(" ".join(outcome.detail.split())[:300])]
        for outcome in outcomes
    ]


def main() -> int:
    known = {config.model_type for config in transformers.MODEL_FOR_CAUSAL_LM_MAPPING}
    chosen = sorted(known & set(sys.argv[1:])) if sys.argv[1:] else sorted(known)
    outcomes = []
    for outcome in scan(chosen):
        print(*outcome, sep=": ", flush=True)
        outcomes.append(outcome)
    if chosen == sorted(known):
        write_atomically(PROJECT / "docs" / "models.md", page(outcomes).encode())
    return int(any(outcome.verdict == "failed" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
