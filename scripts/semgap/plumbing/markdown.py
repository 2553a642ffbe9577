"""Tables in Markdown: words to the left, figures to the right."""

from collections.abc import Sequence

from tabulate import tabulate


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1
) -> str:
    """A table of cells that are formatted already; the first ``text_columns`` hold words."""
    alignment = ["left"] * text_columns + ["right"] * (len(header) - text_columns)
    table: str = tabulate(
        rows, headers=header, tablefmt="pipe", disable_numparse=True, colalign=alignment
    )
    return table
