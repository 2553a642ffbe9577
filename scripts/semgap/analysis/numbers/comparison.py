"""Latency of each mode beside a baseline, round by round, and whether rounds are enough."""

import math
from collections.abc import Iterable, Mapping

import msgspec

from semgap.analysis.numbers.summary import RepeatRow
from semgap.measurement.job_settings import StoppingRule
from semgap.plumbing.statistics import CONFIDENCE, mean_ratio, t_quantile

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
    latencies = by_repeat(rows, "latency_s")
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


def by_repeat(rows: Iterable[RepeatRow], quantity: str) -> dict[tuple[str, str], dict[int, float]]:
    """A quantity by repeat for each timed phase and mode."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        if row.quantity == quantity and row.phase in _PHASES:
            found.setdefault((row.phase, row.mode), {})[row.repeat] = row.value
    return found


# What two repeats say of the scatter is too little to plan with.
_LEAST_TO_JUDGE = 3
_GROWTH = 2


def half_width_percent(row: ComparisonRow) -> float | None:
    """How far the interval of a ratio reaches above it, in percent; None for one round."""
    return None if row.ratio_high is None else 100 * (row.ratio_high / row.ratio - 1)


def is_precise(row: ComparisonRow, rule: StoppingRule) -> bool:
    """Whether a ratio is known as well as the rule asks."""
    reached = half_width_percent(row)
    return reached is not None and row.rounds >= _LEAST_TO_JUDGE and reached <= rule.within_percent


def wanted_repeats(
    comparisons: Iterable[ComparisonRow], repeats: Mapping[str, int], rule: StoppingRule
) -> dict[str, int]:
    """How many repeats each mode is to have; what it has where that is enough or all it may.

    As many as the scatter so far asks for, but at most twice as many as there are: the scatter of
    few repeats is itself little known. ``local`` has as many as the mode with most.
    """
    wanted = dict(repeats)
    for row in comparisons:
        if row.baseline == BASELINE_MODE and not is_precise(row, rule):
            most = max(_LEAST_TO_JUDGE, min(rule.at_most, _GROWTH * repeats[row.mode]))
            wanted[row.mode] = max(wanted[row.mode], min(most, _needed(row, rule, most)))
    wanted[BASELINE_MODE] = max(wanted.values())
    return wanted


def _needed(row: ComparisonRow, rule: StoppingRule, most: int) -> int:
    """The fewest rounds, above those that there are, whose interval would be narrow enough."""
    if row.ratio_high is None:
        return most
    rounds = row.rounds
    deviation = math.log(row.ratio_high / row.ratio) * math.sqrt(rounds) / _reach(rounds)
    asked = math.log(1 + rule.within_percent / 100)
    for more in range(max(rounds + 1, _LEAST_TO_JUDGE), most):
        if _reach(more) * deviation / math.sqrt(more) <= asked:
            return more
    return most


def _reach(rounds: int) -> float:
    """Half the width of an interval, in standard errors."""
    return float(t_quantile((1 + CONFIDENCE) / 2, rounds - 1))
