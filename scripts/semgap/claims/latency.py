"""Claims on latencies: on the order of all repeats, and on the ratio of means with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from semgap.claims.claim import Claim
from semgap.claims.evidence import REPEATS_FILE, Evidence
from semgap.claims.outcome import Finding, Status
from semgap.stats import ratio_interval

# With three repeats each, complete separation has an exact one-sided p of 1 / C(6, 3) = 0.05.
_FEWEST_TO_ORDER = 3


class AlwaysSlower(Claim, frozen=True, kw_only=True, tag="always_slower"):
    """In these phases every repeat of a mode takes longer than every repeat of some others.

    A disturbed repeat widens an interval of few values without bound; the order of modes that are
    far apart it leaves as it is.
    """

    phases: tuple[str, ...]
    mode: str
    than: tuple[str, ...]

    def findings(self, evidence: Evidence) -> Iterable[Finding]:
        """Compare the mode's fastest repeat with the slowest of each other, and the reverse."""
        for phase in self.phases:
            own_s = _latencies_s(evidence, phase, self.mode)
            for other in self.than:
                other_s = _latencies_s(evidence, phase, other)
                yield _ordered(f"{phase}: {self.mode}", own_s, other, other_s)

    def sources(self) -> tuple[str, ...]:
        """The repeats' rows."""
        return (REPEATS_FILE,)


class Slower(Claim, frozen=True, kw_only=True, tag="slower"):
    """In these phases a mode takes at least ``factor`` times as long as each of some others."""

    phases: tuple[str, ...]
    mode: str
    than: tuple[str, ...]
    factor: float

    def findings(self, evidence: Evidence) -> Iterable[Finding]:
        """Compare the interval of each ratio with the factor."""
        for phase in self.phases:
            for other in self.than:
                ratio = _Ratio.measured(evidence, phase, self.mode, other)
                yield _at_least(ratio, self.factor)

    def sources(self) -> tuple[str, ...]:
        """The repeats' rows."""
        return (REPEATS_FILE,)


class Within(Claim, frozen=True, kw_only=True, tag="within"):
    """In these phases a mode takes at most ``factor`` times as long as another."""

    phases: tuple[str, ...]
    mode: str
    of: str
    factor: float

    def findings(self, evidence: Evidence) -> Iterable[Finding]:
        """Compare the interval of each ratio with the factor."""
        for phase in self.phases:
            yield _at_most(_Ratio.measured(evidence, phase, self.mode, self.of), self.factor)

    def sources(self) -> tuple[str, ...]:
        """The repeats' rows."""
        return (REPEATS_FILE,)


class _Ratio(NamedTuple):
    """The ratio of two modes' mean latencies in one phase; ``figures`` says what is known of it.

    Without an interval, ``low`` is 0 and ``high`` infinite.
    """

    figures: str
    low: float
    high: float

    @classmethod
    def measured(cls, evidence: Evidence, phase: str, mode: str, other: str) -> _Ratio:
        numerator = _latencies_s(evidence, phase, mode)
        denominator = _latencies_s(evidence, phase, other)
        for name, latencies_s in ((mode, numerator), (other, denominator)):
            if not latencies_s:
                return cls(f"{phase}: {name} was not run", 0.0, math.inf)
        low, high = _interval(numerator, denominator)
        return cls(
            f"{phase}: {mode} ÷ {other} = {fmean(numerator) / fmean(denominator):.3g}"
            f"{_in_words(low, high)}, n = {min(len(numerator), len(denominator))}",
            low,
            high,
        )


def _latencies_s(evidence: Evidence, phase: str, mode: str) -> list[float]:
    return [row.latency_s for row in evidence.repeats_of(phase, mode)]


def _ordered(what: str, own_s: Sequence[float], other: str, other_s: Sequence[float]) -> Finding:
    n = min(len(own_s), len(other_s))
    if n < _FEWEST_TO_ORDER:
        return Finding(
            Status.NOT_SUPPORTED,
            f"{what} {len(own_s)} repeats, {other} {len(other_s)}; an order needs "
            f"{_FEWEST_TO_ORDER} of each",
        )
    figures = (
        f"{what} {min(own_s):.3g} to {max(own_s):.3g} s, {other} {min(other_s):.3g} to "
        f"{max(other_s):.3g} s, n = {n}"
    )
    if min(own_s) > max(other_s):
        return Finding(Status.PASS, figures)
    return Finding(Status.FAIL if max(own_s) < min(other_s) else Status.NOT_SUPPORTED, figures)


def _interval(numerator: Sequence[float], denominator: Sequence[float]) -> tuple[float, float]:
    """The interval of a ratio of positive quantities; (0, ∞) if nothing is known of it.

    Where the denominator varies too much for a bounded interval, the reciprocal ratio may still
    have one: Fieller's set is the same either way up, and its upper end then bounds the ratio from
    below.
    """
    interval = ratio_interval(numerator, denominator)
    if interval is not None:
        return max(interval.low, 0.0), interval.high
    reciprocal = ratio_interval(denominator, numerator)
    if reciprocal is not None:
        return 1 / reciprocal.high, math.inf
    return 0.0, math.inf


def _in_words(low: float, high: float) -> str:
    if math.isfinite(high):
        return f" (95 %: {low:.3g} to {high:.3g})"
    if low > 0:
        return f" (95 %: at least {low:.3g})"
    return " (no interval)"


def _at_least(ratio: _Ratio, factor: float) -> Finding:
    figures = f"{ratio.figures} (claimed: ≥ {factor:g})"
    if ratio.low >= factor:
        return Finding(Status.PASS, figures)
    return Finding(Status.FAIL if ratio.high < factor else Status.NOT_SUPPORTED, figures)


def _at_most(ratio: _Ratio, factor: float) -> Finding:
    figures = f"{ratio.figures} (claimed: ≤ {factor:g})"
    if ratio.high <= factor:
        return Finding(Status.PASS, figures)
    return Finding(Status.FAIL if ratio.low > factor else Status.NOT_SUPPORTED, figures)
