"""Files: records as JSON, rows as CSV, written whole or not at all, and their digests."""

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from semgap.errors import NoSpaceError, SemgapError

Record = TypeVar("Record")

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def write_record(path: Path, record: msgspec.Struct) -> None:
    """Write a record as indented JSON, whole or not at all."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file such that a crash leaves the old one or the new one, never a part.

    Raises:
        NoSpaceError: there is no room for it.
    """
    # Not tempfile's: its files are their owner's alone, and some mounts refuse a later chmod.
    partial = path.with_name(f".partial-{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("xb") as file:
                file.write(content)
                file.flush()
                sync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno in NO_SPACE:
            raise no_space_in(path.parent) from error
        raise


def sync(descriptor: int) -> None:
    """Write a file through to its disk, where its file system can do that."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise


def open_to_all(path: Path) -> None:
    """Let others read a file that a library made for its owner alone, as the umask says."""
    umask = os.umask(0)
    os.umask(umask)
    # Some mounts keep no modes and refuse.
    with contextlib.suppress(OSError):
        path.chmod(0o666 & ~umask)


def free_bytes_of(folder: Path) -> int | None:
    """Room for this user in a folder; None where the file system does not say (ramfs)."""
    disk = os.statvfs(folder)
    if disk.f_blocks == 0:
        return None
    return disk.f_frsize * (disk.f_bfree if os.geteuid() == 0 else disk.f_bavail)


def no_space_in(folder: Path) -> NoSpaceError:
    """The error for a folder without room, for the caller to raise."""
    return NoSpaceError(
        f"No space left in '{folder}'.", "Make room there and run again: what was finished is kept."
    )


def digest_of(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        SemgapError: there is no such file.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise _missing(path) from None


def read_record(path: Path, record_type: type[Record]) -> Record:
    """Read a record and check it against its type.

    Raises:
        SemgapError: the file is missing, is no JSON, does not fit the type, or has a key twice.
    """
    try:
        content = path.read_bytes()
        record = msgspec.json.decode(content, type=record_type)
        json.loads(content, object_pairs_hook=_each_key_once)
        return record
    except FileNotFoundError:
        raise _missing(path) from None
    except msgspec.DecodeError as error:
        raise SemgapError(
            f"'{path}' is not a valid {record_type.__name__}: {error}.",
            "Delete the file; the next run makes it again.",
        ) from error


def _each_key_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Two values for a key are two statements, of which a decoder keeps one."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _value in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise msgspec.DecodeError(f"the key '{twice}' stands twice")
    return found


def _missing(path: Path) -> SemgapError:
    return SemgapError(f"'{path}' does not exist.", "Run the Snakemake rule that makes it first.")


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
