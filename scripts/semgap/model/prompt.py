"""The prompt: token ids that every mode starts from."""

import hashlib
import json
import random

import msgspec

from semgap.errors import ConfigError
from semgap.model.manifest import Manifest


class Prompt(msgspec.Struct, frozen=True):
    """The token ids that every mode starts from, and the seed that chose them."""

    token_ids: tuple[int, ...]
    seed: int


def seeded_prompt(manifest: Manifest, tokens: int, decode_steps: int, seed: int) -> Prompt:
    """Choose ``tokens`` token ids from the model's vocabulary by a seed.

    Raises:
        ConfigError: prompt and steps together exceed the model's context length.
    """
    needed = tokens + decode_steps
    if manifest.max_positions is not None and needed > manifest.max_positions:
        raise ConfigError(
            f"workload.prompt_tokens ({tokens}) + workload.decode_steps ({decode_steps}) = "
            f"{needed} tokens, but the context of {manifest.name} holds {manifest.max_positions}.",
            "Shorten the prompt or take fewer steps.",
        )
    chooser = random.Random(seed)
    token_ids = tuple(chooser.randrange(manifest.vocabulary_size) for _ in range(tokens))
    return Prompt(token_ids, seed)


def prompt_digest(prompt: Prompt) -> str:
    """SHA-256 of the prompt's token ids."""
    return hashlib.sha256(json.dumps(prompt.token_ids).encode()).hexdigest()
