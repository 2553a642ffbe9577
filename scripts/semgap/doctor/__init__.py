"""What was found of one thing that an experiment needs.

Standard library alone, since packages may be missing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"  # results will be less certain, or say less
    PROBLEM = "PROBLEM"  # the experiment would fail


@dataclass(frozen=True)
class Finding:
    """One thing that an experiment needs."""

    subject: str
    level: Level
    said: str
    remedy: str = ""


def lines(findings: Iterable[Finding]) -> Iterator[str]:
    """Findings as text, each with its remedy below it."""
    for one in findings:
        yield f"{one.level:8} {one.subject:16} {one.said}"
        if one.remedy:
            yield f"{'':8} {'':16} -> {one.remedy}"
