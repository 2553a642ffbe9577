"""What became of a claim: its status, the figures behind it, and where they come from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec


class Status(StrEnum):
    """What the data says of a claim."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOT_SUPPORTED = "NOT SUPPORTED BY THIS DATA"


class Finding(NamedTuple):
    """What one comparison of a claim gave; a claim over several phases or modes has several."""

    status: Status
    figures: str


class Outcome(msgspec.Struct, frozen=True):
    """A claim after its evaluation; a row of ``claims.csv``.

    Attributes:
        required: whether the claim must pass in this experiment.
        figures: the numbers that were compared, in words.
        sources: the files they come from, relative to the experiment's folder.
    """

    id: str
    status: Status
    required: bool
    sentence: str
    figures: str
    sources: str


def verdict(holds: bool) -> Status:
    """The status of a comparison of exact numbers."""
    return Status.PASS if holds else Status.FAIL


def combined(findings: Iterable[Finding]) -> Status:
    """One that fails decides; without one, one that is not supported does."""
    found = {finding.status for finding in findings}
    for status in (Status.FAIL, Status.NOT_SUPPORTED):
        if status in found:
            return status
    return Status.PASS


def failed(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes that contradict a claim, or leave a required one without support."""
    return [
        outcome
        for outcome in outcomes
        if outcome.status is Status.FAIL or (outcome.required and outcome.status is not Status.PASS)
    ]


def counted(outcomes: Sequence[Outcome]) -> str:
    """How many outcomes have each status, as ``18 PASS, 0 FAIL, ...``."""
    return ", ".join(
        f"{sum(outcome.status is status for outcome in outcomes)} {status}" for status in Status
    )
