"""Small files in which the kernel says what it counts and how it is set."""

from __future__ import annotations

from pathlib import Path


def read_text(file: Path) -> str | None:
    """What a file says without white space around it; None where this kernel has no such thing.

    A kernel may also offer a file and refuse to read it: pressure that is switched off, the speed
    of an interface that has none.
    """
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return None


def read_boot_id(root: Path = Path("/")) -> str | None:
    """Names this boot of this machine: processes with the same one share a monotonic clock."""
    return read_text(root / "proc/sys/kernel/random/boot_id")


def read_int(file: Path) -> int | None:
    """The one number in a file; None where there is no such file or no number in it."""
    text = read_text(file)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def read_counters(file: Path) -> dict[str, int]:
    """A file of lines "name number"; empty where there is no such file."""
    pairs = (line.split() for line in (read_text(file) or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
