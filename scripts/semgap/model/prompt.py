"""The prompt: token ids that every mode starts from."""

import hashlib
import json
import random
from collections.abc import Sequence

import msgspec

from semgap.errors import ConfigError
from semgap.model.manifest import Manifest


class Prompt(msgspec.Struct, frozen=True):
    """The token ids that every mode starts from."""

    token_ids: tuple[int, ...]
    seed: int | None  # chose them at random; None for those of a text
    text: str | None = None


def seeded_prompt(manifest: Manifest, tokens: int, decode_steps: int, seed: int) -> Prompt:
    """Choose ``tokens`` token ids from the model's vocabulary by a seed.

    Raises:
        ConfigError: prompt and steps together exceed the model's context length.
    """
    check_room(manifest, tokens, decode_steps)
    chooser = random.Random(seed)
    token_ids = tuple(chooser.randrange(manifest.vocabulary_size) for _ in range(tokens))
    return Prompt(token_ids, seed)


def text_prompt(
    manifest: Manifest, text: str, token_ids: Sequence[int], decode_steps: int
) -> Prompt:
    """The prompt of a text.

    Args:
        token_ids: what the model's tokenizer makes of it.

    Raises:
        ConfigError: prompt and steps together exceed the model's context length, or the tokenizer
            is another model's.
    """
    check_room(manifest, len(token_ids), decode_steps)
    if max(token_ids) >= manifest.vocabulary_size:
        raise ConfigError(
            f"The tokenizer gives token {max(token_ids)}, and {manifest.name} has "
            f"{manifest.vocabulary_size}.",
            "Use the tokenizer that belongs to the model.",
        )
    return Prompt(tuple(token_ids), None, text)


def check_room(manifest: Manifest, tokens: int, decode_steps: int) -> None:
    """Check that a prompt of so many tokens and the steps after it fit into the model's context.

    Raises:
        ConfigError: they exceed it.
    """
    needed = tokens + decode_steps
    if manifest.max_positions is not None and needed > manifest.max_positions:
        raise ConfigError(
            f"The prompt's tokens ({tokens}) + workload.decode_steps ({decode_steps}) = {needed} "
            f"tokens, but the context of {manifest.name} holds {manifest.max_positions}.",
            "Shorten the prompt or take fewer steps.",
        )


def prompt_digest(prompt: Prompt) -> str:
    """SHA-256 of the prompt's token ids."""
    return hashlib.sha256(json.dumps(prompt.token_ids).encode()).hexdigest()
