"""Text and tables as Markdown and as LaTeX show them."""

import re
from collections.abc import Sequence

from tabulate import tabulate

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_MARKDOWN_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# A backslash means something in front of punctuation only.
_MARKDOWN_SPECIAL = re.compile(r"[|*_`\[\]~]|\\(?=[!-/:-@\[-`{-~]|$)")


def escaped_latex(text: str) -> str:
    """LaTeX code that sets a text."""
    return "".join(_LATEX.get(character, character) for character in text)


def escaped_markdown(text: str) -> str:
    """Markdown, also within a cell of a table, that shows a text."""
    escaped = _MARKDOWN_SPECIAL.sub(lambda match: f"\\{match[0]}", text)
    return "".join(_MARKDOWN_ENTITIES.get(character, character) for character in escaped)


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1
) -> str:
    """A table of cells that are formatted already; the first ``text_columns`` hold words."""
    alignment = ["left"] * text_columns + ["right"] * (len(header) - text_columns)
    table: str = tabulate(
        rows, headers=header, tablefmt="pipe", disable_numparse=True, colalign=alignment
    )
    return table
