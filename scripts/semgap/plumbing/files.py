"""Files: records as JSON, written whole or not at all, and their digests."""

import errno
import hashlib
import os
import tempfile
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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".partial-", delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        if error.errno in NO_SPACE:
            raise no_space_in(path.parent) from error
        raise
    umask = os.umask(0)
    os.umask(umask)
    Path(file.name).chmod(0o666 & ~umask)
    Path(file.name).replace(path)


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
        SemgapError: the file is missing, is no JSON, or does not fit the type.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=record_type)
    except FileNotFoundError:
        raise _missing(path) from None
    except msgspec.DecodeError as error:
        raise SemgapError(
            f"'{path}' is not a valid {record_type.__name__}: {error}.",
            "Delete the file; the next run makes it again.",
        ) from error


def _missing(path: Path) -> SemgapError:
    return SemgapError(f"'{path}' does not exist.", "Run the Snakemake rule that makes it first.")
