#!/usr/bin/env python3
"""Choose the prompt's token ids, the same for every mode."""

from pathlib import Path
from typing import Annotated

from semgap.model.manifest import Manifest
from semgap.model.prompt import seeded_prompt
from semgap.pipeline.cli import run_script
from semgap.plumbing.files import read_record, write_record


def choose(
    manifest: Annotated[Path, "describes the model"],
    prompt: Annotated[Path, "writes this file"],
    tokens: Annotated[int, "length of the prompt"],
    decode_steps: Annotated[int, "tokens to come after it"],
    seed: Annotated[int, "chooses the token ids"],
) -> None:
    model = read_record(manifest, Manifest)
    write_record(prompt, seeded_prompt(model, tokens, decode_steps, seed))


if __name__ == "__main__":
    run_script(choose)
