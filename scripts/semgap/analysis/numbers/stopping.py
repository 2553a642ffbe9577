"""More repeats where latencies scatter: when there are enough, and how many are wanted."""

import math
from collections.abc import Iterable, Mapping

from semgap.analysis.numbers.comparison import BASELINE_MODE, ComparisonRow
from semgap.measurement.job_settings import StoppingRule
from semgap.plumbing.statistics import CONFIDENCE, t_quantile

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
