"""Typed rows as CSV files."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from semgap.errors import SemgapError
from semgap.plumbing.files import write_atomically

Row = TypeVar("Row", bound=msgspec.Struct)


def write_rows(path: Path, row_type: type[Row], rows: Sequence[Row]) -> None:
    """Write rows under a header of their field names; None is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, row_type.__struct_fields__, lineterminator="\n")
    writer.writeheader()
    writer.writerows(msgspec.structs.asdict(row) for row in rows)
    write_atomically(path, text.getvalue().encode())


def read_rows(path: Path, row_type: type[Row]) -> list[Row]:
    """Read rows and check each cell against its field's type.

    Raises:
        SemgapError: a column or cell does not fit.
    """
    with path.open(newline="", encoding="utf-8") as file:
        cells = [
            {key: (value if value != "" else None) for key, value in row.items()}
            for row in csv.DictReader(file)
        ]
    try:
        return msgspec.convert(cells, list[row_type], strict=False)  # type: ignore[valid-type]
    except msgspec.ValidationError as error:
        raise SemgapError(
            f"'{path}' does not hold {row_type.__name__} rows: {error}.",
            "Delete the file; the next run makes it again.",
        ) from error
