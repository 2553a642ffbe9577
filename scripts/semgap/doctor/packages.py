"""Python and its packages, against the pinned ones.

Standard library alone, since packages may be missing.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from semgap.doctor import Finding, Level

_LEAST_PYTHON = (3, 11)


def check_python() -> Finding:
    """Whether Python is new enough."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _LEAST_PYTHON:
        return Finding(
            "Python",
            Level.PROBLEM,
            f"{version} runs; 3.11 or newer is needed.",
            "Call make with PYTHON=/path/to/python3.11 after removing .venv.",
        )
    return Finding("Python", Level.OK, version)


def check_packages(needed: Path, lock: Path) -> Iterator[Finding]:
    """Whether what the project imports is installed, and in the pinned versions.

    Args:
        needed: names of packages, one per line.
        lock: names and pinned versions of these and others.
    """
    pinned = _pinned_in(lock.read_text(encoding="utf-8"))
    names = re.findall(r"^[a-z0-9-]+$", needed.read_text(encoding="utf-8"), re.MULTILINE)
    remedy = f"Call 'make environment', or 'pip install -r {lock}' in an environment of your own."
    others = []
    for name in names:
        try:
            version = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            yield Finding("packages", Level.PROBLEM, f"{name} is not installed.", remedy)
            continue
        if version not in pinned.get(name, (version,)):
            others.append(f"{name} {version} instead of {' or '.join(pinned[name])}")
    if others:
        said = f"Other versions than pinned: {', '.join(others)}."
        yield Finding("packages", Level.NOTE, said, remedy)
    else:
        yield Finding("packages", Level.OK, f"{len(names)} as pinned in {lock.name}")


def _pinned_in(text: str) -> Mapping[str, Sequence[str]]:
    """Versions by name; a package may have one per version of Python."""
    pinned: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==([^\s;+]+)", text, re.MULTILINE):
        pinned.setdefault(name, []).append(version)
    return pinned
