#!/usr/bin/env python3
"""Choose the prompt's token ids, the same for every mode."""

from pathlib import Path
from typing import Annotated

from semgap.model.manifest import Manifest
from semgap.model.prompt import seeded_prompt, text_prompt
from semgap.pipeline.cli import run_script
from semgap.plumbing.files import read_record, write_record


def random(
    manifest: Annotated[Path, "describes the model"],
    prompt: Annotated[Path, "writes this file"],
    tokens: Annotated[int, "length of the prompt"],
    decode_steps: Annotated[int, "tokens to come after it"],
    seed: Annotated[int, "chooses the token ids"],
) -> None:
    """choose token ids by a seed"""
    model = read_record(manifest, Manifest)
    write_record(prompt, seeded_prompt(model, tokens, decode_steps, seed))


def text(
    manifest: Annotated[Path, "describes the model"],
    prompt: Annotated[Path, "writes this file"],
    weights: Annotated[Path, "folder with the model's tokenizer"],
    text: Annotated[str, "the prompt"],
    decode_steps: Annotated[int, "tokens to come after it"],
) -> None:
    """take the tokens of a text"""
    from semgap.model.text import token_ids_of

    model = read_record(manifest, Manifest)
    write_record(prompt, text_prompt(model, text, token_ids_of(text, weights), decode_steps))


if __name__ == "__main__":
    run_script(random, text)
