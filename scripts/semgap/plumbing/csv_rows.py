"""Typed rows as CSV files."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from semgap.errors import SemgapError
from semgap.plumbing.files import write_atomically

Row = TypeVar("Row", bound=msgspec.Struct)


# Fewer digits than a float has: what is computed on another processor is the same text.
_SIGNIFICANT_DIGITS = 12


def write_rows(path: Path, row_type: type[Row], rows: Sequence[Row]) -> None:
    """Write rows under a header of their field names."""
    text = csv_text(row_type.__struct_fields__, [msgspec.structs.asdict(row) for row in rows])
    write_atomically(path, text.encode())


def csv_text(names: Sequence[str], lines: Iterable[Mapping[str, object]]) -> str:
    """Lines under a header; None and what a line lacks are empty cells, floats have 12 digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in line.items()} for line in lines)
    return text.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, float):
        return value
    # Bytes are counted exactly, however many there are.
    return str(int(value)) if value.is_integer() else f"{value:.{_SIGNIFICANT_DIGITS}g}"


def read_rows(path: Path, row_type: type[Row]) -> list[Row]:
    """Read rows and check each cell against its field's type.

    Raises:
        SemgapError: a column or cell does not fit.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        names = reader.fieldnames or ()
        cells = [
            {key: (value if value != "" else None) for key, value in row.items()} for row in reader
        ]
    if len(set(names)) < len(names):
        raise SemgapError(
            f"'{path}' has two columns of one name.",
            "Delete the file; the next run makes it again.",
        )
    try:
        return msgspec.convert(cells, list[row_type], strict=False)  # type: ignore[valid-type]
    except msgspec.ValidationError as error:
        raise SemgapError(
            f"'{path}' does not hold {row_type.__name__} rows: {error}.",
            "Delete the file; the next run makes it again.",
        ) from error
