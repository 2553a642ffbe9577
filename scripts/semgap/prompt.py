"""The prompt: token ids that every mode starts from."""

from __future__ import annotations

import hashlib
import random

from semgap.errors import ConfigError
from semgap.records import Manifest, Prompt


def seeded_prompt(manifest: Manifest, tokens: int, decode_steps: int, seed: int) -> Prompt:
    """Choose ``tokens`` token ids from the model's vocabulary by a seed.

    Raises:
        ConfigError: prompt and decode steps together exceed the model's context length.
    """
    needed = tokens + decode_steps
    if needed > manifest.max_positions:
        raise ConfigError(
            f"workload.prompt_tokens ({tokens}) + workload.decode_steps ({decode_steps}) = "
            f"{needed} tokens, but the context of {manifest.name} holds {manifest.max_positions}.",
            "Shorten the prompt or decode fewer steps.",
        )
    chooser = random.Random(seed)
    return Prompt(tuple(chooser.randrange(manifest.vocabulary_size) for _ in range(tokens)))


def prompt_digest(prompt: Prompt) -> str:
    """SHA-256 of the token ids as decimal numbers between commas."""
    return hashlib.sha256(",".join(map(str, prompt.token_ids)).encode()).hexdigest()
