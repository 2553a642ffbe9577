"""Latency of each mode beside ``local`` and beside the framework-level mode, round by round."""

from collections.abc import Iterable

import msgspec

from semgap.analysis.numbers.summary import RepeatRow
from semgap.plumbing.statistics import mean_ratio

BASELINE_MODE = "local"
PROPOSED_MODE = "semantic"
_PHASES = ("prefill", "decode")


class ComparisonRow(msgspec.Struct, frozen=True):
    """One mode's latency in one phase ÷ another mode's in the same round."""

    phase: str
    mode: str
    baseline: str  # the other mode
    rounds: int  # in which both were measured
    ratio: float  # geometric mean over the rounds
    # ratio_low, ratio_high: 95 % interval, Student's t of the logarithms; None for one round
    ratio_low: float | None
    ratio_high: float | None
    # the smallest ratio above 1 that as many rounds with this scatter show in 4 of 5 cases
    detectable_ratio: float | None


def comparisons(rows: Iterable[RepeatRow]) -> list[ComparisonRow]:
    """Compare every mode with each of the two baselines that was measured."""
    latencies = _latencies(rows)
    found = []
    for baseline in (BASELINE_MODE, PROPOSED_MODE):
        for (phase, mode), own in latencies.items():
            other = latencies.get((phase, baseline))
            if other is None or mode == baseline:
                continue
            rounds = sorted(own.keys() & other.keys())
            seen = mean_ratio([own[one] for one in rounds], [other[one] for one in rounds])
            found.append(
                ComparisonRow(
                    *(phase, mode, baseline, len(rounds)),
                    *(seen.mean, seen.low, seen.high, seen.detectable),
                )
            )
    return found


def _latencies(rows: Iterable[RepeatRow]) -> dict[tuple[str, str], dict[int, float]]:
    """Latencies by repeat for each phase and mode."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        if row.quantity == "latency_s" and row.phase in _PHASES:
            found.setdefault((row.phase, row.mode), {})[row.repeat] = row.value
    return found
