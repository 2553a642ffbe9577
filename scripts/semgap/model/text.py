"""Text as a model's own tokenizer reads and writes it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import transformers

from semgap.errors import ModelError
from semgap.model.model_settings import tokenizer_files

_REMEDY = (
    "Put the model's tokenizer.json and tokenizer_config.json where its weights come from, or "
    "leave out workload.prompt_text: the prompt is then made of random tokens."
)


def token_ids_of(text: str, folder: Path) -> tuple[int, ...]:
    """The tokens of a text, with those that the model wants at its beginning.

    Args:
        folder: of the stored weights.

    Raises:
        ModelError: there is no tokenizer in the folder, or the text has no tokens.
    """
    token_ids = tuple(_tokenizer(folder)(text).input_ids)
    if not token_ids:
        raise ModelError("The prompt's text has no tokens.", "Set another workload.prompt_text.")
    return token_ids


def text_of(token_ids: Sequence[int], folder: Path) -> str:
    """The text of tokens.

    Raises:
        ModelError: there is no tokenizer in the folder.
    """
    return str(_tokenizer(folder).decode(list(token_ids), clean_up_tokenization_spaces=False))


def _tokenizer(folder: Path) -> Any:
    # Without any, transformers returns a tokenizer that has no tokens.
    if not tokenizer_files(folder):
        raise ModelError(f"'{folder}' holds no tokenizer.", _REMEDY)
    try:
        return transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        # Each kind of tokenizer raises errors of its own for what it lacks.
        raise ModelError(
            f"'{folder}' holds no tokenizer that transformers reads: {error}.", _REMEDY
        ) from error
