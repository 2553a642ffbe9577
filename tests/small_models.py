"""Small models of every kind, and where the project is."""

import json
from pathlib import Path

PROJECT = Path(__file__).parents[1]

ARCHITECTURES = {
    "gptj": {
        "model_type": "gptj",
        "n_layer": 2,
        "n_embd": 64,
        "n_head": 4,
        "rotary_dim": 8,
        "n_positions": 64,
        "vocab_size": 500,
        "bos_token_id": 0,
        "eos_token_id": 0,
    },
    "gpt2-tied": {
        "model_type": "gpt2",
        "n_layer": 2,
        "n_embd": 64,
        "n_head": 4,
        "n_positions": 64,
        "vocab_size": 500,
        "bos_token_id": 0,
        "eos_token_id": 0,
    },
    "llama-grouped-query": {
        "model_type": "llama",
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "vocab_size": 500,
        "bos_token_id": 0,
        "eos_token_id": 0,
    },
}
ARCHITECTURES |= {
    # Its window is shorter than the prompts of the tests.
    "mistral-window": {
        **ARCHITECTURES["llama-grouped-query"],
        "model_type": "mistral",
        "sliding_window": 4,
    },
    "mixtral-experts": {
        **ARCHITECTURES["llama-grouped-query"],
        "model_type": "mixtral",
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
    },
    "bloom-alibi": {
        "model_type": "bloom",
        "n_layer": 2,
        "hidden_size": 64,
        "n_head": 4,
        "vocab_size": 500,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
    },
    "mamba-state": {
        "model_type": "mamba",
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "state_size": 16,
        "vocab_size": 500,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
    },
}


def store_small_model(name: str, folder: Path):
    """Make a seeded model of a named architecture and describe it."""
    return store_model(ARCHITECTURES[name], folder)


def store_model(architecture: dict[str, object], folder: Path):
    """Make a seeded model of an architecture; returns its folder of weights and its manifest."""
    from semgap.model.description import describe_model
    from semgap.model.model_settings import ModelSettings
    from semgap.model.sources import seeded_weights, store_weights

    settings = ModelSettings("small", "seeded", architecture=architecture)
    source = seeded_weights(json.dumps(architecture), settings.dtype, settings.seed)
    store_weights(source, folder / "weights")
    return folder / "weights", describe_model(folder / "weights", settings)
