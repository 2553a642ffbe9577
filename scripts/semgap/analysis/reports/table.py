"""The published table, as Markdown, LaTeX, and CSV with every quantity."""

from collections.abc import Sequence

import pandas as pd

from semgap.analysis.numbers.numbers import Numbers, TableRow
from semgap.analysis.reports.claims import count_text
from semgap.analysis.reports.columns import ABSENT, COLUMNS
from semgap.analysis.reports.notes import WARNINGS, notes
from semgap.plumbing.files import csv_text
from semgap.plumbing.markup import escaped_markdown, markdown_table

_HEADER = ("Phase", "Mode", *(column.header for column in COLUMNS))


def full_csv(numbers: Numbers) -> str:
    """One line per row of the table: commits, repeats, mean and deviation of every quantity."""
    commits = " ".join(sorted({record.provenance.commit for record in numbers.records}))
    lines = [
        {"phase": row.phase, "mode": row.mode, "label": row.label}
        | {"commit": commits, "n": row.quantities["latency_s"].n}
        | {
            f"{statistic}_{name}": getattr(found, statistic)
            for name, found in row.quantities.items()
            for statistic in ("mean", "std")
        }
        for row in numbers.table
    ]
    return csv_text(list(dict.fromkeys(name for line in lines for name in line)), lines)


def markdown(numbers: Numbers) -> str:
    """The table and the notes under it."""
    return f"{_table(numbers)}\n\n{notes_markdown(numbers)}"


def found_markdown(numbers: Numbers) -> str:
    """The table, how many claims hold, and how many warnings there are."""
    warned = len(notes(numbers).get(WARNINGS, ()))
    said = f"Claims: {count_text(numbers.claims)}. Warnings: {warned}."
    return f"{_table(numbers)}\n\n{said}\n"


def notes_markdown(numbers: Numbers) -> str:
    """The notes, grouped."""
    groups = (
        "\n".join([f"{heading}:\n", *(f"- {note}" for note in said)])
        for heading, said in notes(numbers).items()
    )
    return "\n\n".join(groups) + "\n"


def _table(numbers: Numbers) -> str:
    cells = [_cells(row, escaped_markdown(row.label)) for row in numbers.table]
    return markdown_table(_HEADER, cells, text_columns=2)


def latex(numbers: Numbers) -> str:
    r"""The table for a paper that loads booktabs and defines ``\sys``; notes are comments."""
    header = [name.replace("%", r"\%") for name in _HEADER]
    frame = pd.DataFrame([_in_latex(_cells(row, row.latex_label)) for row in numbers.table])
    frame.columns = header
    body = frame.style.hide(axis="index").to_latex(
        hrules=True, column_format="ll" + "r" * len(COLUMNS)
    )
    remarks = "\n".join(
        f"% {' '.join(note.split())}" for said in notes(numbers).values() for note in said
    )
    return f"{remarks}\n{body}"


def _cells(row: TableRow, label: str) -> list[str]:
    return [row.phase.capitalize(), label, *(column.cell(row) for column in COLUMNS)]


def _in_latex(cells: Sequence[str]) -> list[str]:
    """Cells as LaTeX code; the label, the second, is that already."""
    phase, label, *figures = cells
    return [phase, label, *(cell.replace("±", r"$\pm$").replace(ABSENT, "--") for cell in figures)]
