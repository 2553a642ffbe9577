"""Goals: what was seen beside what is aimed at, as the reports print it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from semgap.plumbing.markdown import markdown_table


class Goal(NamedTuple):
    """A ratio or time that should lie on one side of a bound.

    Attributes:
        holds: whether it does; ``bound`` says what was asked for, in words.
    """

    what: str
    seen: str
    bound: str
    holds: bool


def at_least(what: str, seen: float, bound: float) -> Goal:
    """A goal that ``seen`` is no smaller than ``bound``."""
    return Goal(what, f"{seen:.3g}", f"≥ {bound:g}", seen >= bound)


def at_most(what: str, seen: float, bound: float, unit: str = "") -> Goal:
    """A goal that ``seen`` is no larger than ``bound``."""
    return Goal(what, f"{seen:.4g}{unit}", f"≤ {bound:g}{unit}", seen <= bound)


def goals_table(goals: Sequence[Goal]) -> str:
    """The goals as a Markdown table; one that is missed says so."""
    return markdown_table(
        ("Goal", "Seen", "Bound", "Holds"),
        [(goal.what, goal.seen, goal.bound, "yes" if goal.holds else "**no**") for goal in goals],
    )
