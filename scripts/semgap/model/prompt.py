"""The prompt: token ids that every mode starts from."""

import hashlib
import json
import random
from collections.abc import Mapping

import msgspec

from semgap.errors import ConfigError
from semgap.model.manifest import Manifest


class Prompt(msgspec.Struct, frozen=True):
    """The token ids that every mode starts from, and the seed that chose them."""

    token_ids: tuple[int, ...]
    seed: int


def seeded_prompt(
    manifest: Manifest, tokens: int, steps_after: Mapping[str, int], seed: int
) -> Prompt:
    """Choose ``tokens`` token ids from the model's vocabulary by a seed.

    Args:
        steps_after: configuration keys and the numbers of steps that they let follow the prompt.

    Raises:
        ConfigError: prompt and steps together exceed the model's context length.
    """
    for key, steps in steps_after.items():
        needed = tokens + steps
        if needed > manifest.max_positions:
            raise ConfigError(
                f"workload.prompt_tokens ({tokens}) + {key} ({steps}) = {needed} tokens, but the "
                f"context of {manifest.name} holds {manifest.max_positions}.",
                "Shorten the prompt or take fewer steps.",
            )
    chooser = random.Random(seed)
    token_ids = tuple(chooser.randrange(manifest.vocabulary_size) for _ in range(tokens))
    return Prompt(token_ids, seed)


def prompt_digest(prompt: Prompt) -> str:
    """SHA-256 of the prompt's token ids."""
    return hashlib.sha256(json.dumps(prompt.token_ids).encode()).hexdigest()
