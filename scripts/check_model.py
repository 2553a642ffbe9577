#!/usr/bin/env python3
"""Check that the stored model computes what transformers computes, on the real prompt."""

from pathlib import Path
from typing import Annotated

from semgap.model.model_settings import ModelSettings
from semgap.pipeline.cli import run_script


def check(
    weights: Annotated[Path, "folder with the stored weights"],
    source: Annotated[Path | None, "folder that they are from, unless they are seeded"],
    settings: Annotated[ModelSettings, "which model it is"],
    engine: Annotated[str, "name of the engine that runs it"],
    prompt: Annotated[Path, "the prompt's token ids"],
    decode_steps: Annotated[int, "tokens that come after it"],
    agreement: Annotated[Path, "writes this file: what was compared"],
    expected: Annotated[Path, "writes the logits of transformers (.npy)"],
) -> None:
    import io

    import numpy as np
    from msgspec import structs

    from semgap.inference.agreement import compare_with_transformers
    from semgap.model.prompt import Prompt
    from semgap.model.text import text_of
    from semgap.plumbing.files import read_record, write_atomically, write_record

    start = read_record(prompt, Prompt)
    found = compare_with_transformers(
        weights,
        source or weights,
        engine,
        settings.dtype,
        settings.source_remedy,
        start.token_ids,
        decode_steps,
    )
    agreement_found = found.agreement
    if start.text is not None:
        continuation = text_of(found.agreement.token_ids, weights)
        agreement_found = structs.replace(
            found.agreement, prompt_text=start.text, continuation=continuation
        )
    file = io.BytesIO()
    np.save(file, found.logits)
    write_atomically(expected, file.getvalue())
    write_record(agreement, agreement_found)


if __name__ == "__main__":
    run_script(check)
