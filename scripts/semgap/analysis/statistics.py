"""Intervals, tests and effects for few repeats; what is compared with what is decided elsewhere."""

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

CONFIDENCE = 0.95
_POWER = 0.8
# Two values a side find an effect of 6.
_LARGE_EFFECT = 20.0
_RESAMPLES = 9999
_SEED = 0
_MOST_WAYS = 1_000_000
_ROUNDING = 1e-14
# Iglewicz and Hoaglin: How to Detect and Handle Outliers, 1993: modified z-score.
_OUTLIER_SCORE = 3.5
_LEAST_FOR_OUTLIERS = 5
_NORMAL_MAD = 0.6745


def median_deviation(values: Sequence[float]) -> float:
    """Median absolute deviation from the median, not scaled."""
    return float(np.median(np.abs(np.subtract(values, np.median(values)))))


def t_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the mean by Student's t; None for one value."""
    if len(values) < 2:
        return None
    half = t_quantile(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    mean = float(np.mean(values))
    return mean - half, mean + half


@functools.cache
def t_quantile(freedom: int) -> float:
    """Half the width of a 95 % t interval, in standard errors."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))


def mean_ratio(values: Sequence[float], baseline: Sequence[float]) -> float:
    """Geometric mean of the ratios of values that belong together."""
    return float(np.exp(np.mean(np.log(np.divide(values, baseline)))))


def ratio_interval(
    values: Sequence[float], baseline: Sequence[float]
) -> tuple[float, float] | None:
    """95 % interval of ``mean_ratio``: bias-corrected and accelerated bootstrap, seeded.

    (Efron: Better Bootstrap Confidence Intervals, 1987.) With few pairs it is the range of what was
    seen, at most, and too narrow. None for one pair; a point where all ratios are equal.
    """
    logarithms = np.log(np.divide(values, baseline))
    if len(logarithms) < 2:
        return None
    if np.ptp(logarithms) == 0:
        return (float(np.exp(logarithms[0])),) * 2
    found = stats.bootstrap(
        (logarithms,),
        np.mean,
        n_resamples=_RESAMPLES,
        confidence_level=CONFIDENCE,
        method="BCa",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return float(np.exp(found.low)), float(np.exp(found.high))


def ratio_t_interval(
    values: Sequence[float], baseline: Sequence[float]
) -> tuple[float, float] | None:
    """95 % interval of ``mean_ratio`` by Student's t of the logarithms; None for one pair."""
    interval = t_interval(np.log(np.divide(values, baseline)).tolist())
    return None if interval is None else (math.exp(interval[0]), math.exp(interval[1]))


def welch_p(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Two-sided p of Welch's t test; None where a group has fewer than two values."""
    if min(len(one), len(other)) < 2:
        return None
    return float(stats.ttest_ind(one, other, equal_var=False).pvalue)


def permutation_p(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Two-sided p of the difference of means over the ways to deal the values out.

    Exact up to a million ways, 10 values against 10 for example; beyond that, of 9,999 ways drawn
    with a seed. None where a group has fewer than two values.
    """
    if min(len(one), len(other)) < 2:
        return None
    values = np.concatenate((one, other))
    if math.comb(len(values), len(one)) > _MOST_WAYS:
        return float(
            stats.permutation_test(
                (one, other),
                lambda x, y, axis: np.mean(x, axis=axis) - np.mean(y, axis=axis),
                vectorized=True,
                n_resamples=_RESAMPLES,
                permutation_type="independent",
                rng=np.random.default_rng(_SEED),
            ).pvalue
        )
    # With the values given, the sum of one group says the difference of means.
    sums = values[_ways_to_choose(len(one), len(values))].sum(axis=1)
    seen, rounding = sums[0], _ROUNDING * np.abs(values).sum()
    sides = np.mean(sums <= seen + rounding), np.mean(sums >= seen - rounding)
    return min(1.0, 2 * float(min(sides)))


@functools.lru_cache(maxsize=4)
def _ways_to_choose(chosen: int, among: int) -> NDArray[np.uint8]:
    """Every choice of so many indices, a row each; scipy takes a second to list 10 among 20."""
    indices = itertools.chain.from_iterable(itertools.combinations(range(among), chosen))
    return np.fromiter(indices, np.uint8).reshape(-1, chosen)


def smallest_permutation_p(n_one: int, n_other: int) -> float:
    """The least p that ``permutation_p`` can give for so many values."""
    ways = math.comb(n_one + n_other, n_one)
    return min(1.0, 2 / (ways if ways <= _MOST_WAYS else _RESAMPLES + 1))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's correction for several tests (Scandinavian Journal of Statistics 6, 1979).

    A test that was not made, None, stays so and does not count.
    """
    made = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    least = 0.0
    for rank, (p, index) in enumerate(made):
        least = max(least, min(1.0, (len(made) - rank) * p))
        corrected[index] = least
    return corrected


def hedges_g(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Standardised difference of means, corrected for small samples (Hedges, 1981).

    None where there is no scatter to measure it with.
    """
    pooled = _pooled_deviation(one, other)
    if not pooled:
        return None
    freedom = len(one) + len(other) - 2
    correction = 1 - 3 / (4 * freedom - 1)
    return float((np.mean(one) - np.mean(other)) / pooled * correction)


def t_test_power(effect: float, n_one: int, n_other: int) -> float:
    """How often a two-sided t test finds a difference of ``effect`` standard deviations.

    (Noncentral t, the far side left out, as R's power.t.test; α = 0.05.)
    """
    freedom = n_one + n_other - 2
    noncentrality = effect / math.sqrt(1 / n_one + 1 / n_other)
    return float(stats.nct.sf(t_quantile(freedom), freedom, noncentrality))


def detectable_difference(one: Sequence[float], other: Sequence[float]) -> float | None:
    """The smallest difference of means that a t test of such groups finds in 4 of 5 cases.

    None where a group has fewer than two values.
    """
    pooled = _pooled_deviation(one, other)
    if pooled is None:
        return None
    sizes = len(one), len(other)
    return pooled * float(
        optimize.brentq(lambda effect: t_test_power(effect, *sizes) - _POWER, 0.0, _LARGE_EFFECT)
    )


def drift(values: Sequence[float]) -> tuple[float, float] | None:
    """Kendall's tau of values with their order, and its exact p; None for fewer than three."""
    if len(values) < 3 or np.ptp(values) == 0:
        return None
    found = stats.kendalltau(range(len(values)), values)
    return float(found.statistic), float(found.pvalue)


def outliers(values: Sequence[float]) -> list[int]:
    """Indices of values whose modified z-score is above 3.5.

    None of fewer than five values, and none where most values are equal: what is far off has no
    measure there.
    """
    deviation = median_deviation(values)
    if deviation == 0 or len(values) < _LEAST_FOR_OUTLIERS:
        return []
    middle = np.median(values)
    return [
        index
        for index, value in enumerate(values)
        if _NORMAL_MAD * abs(value - middle) / deviation > _OUTLIER_SCORE
    ]


def _pooled_deviation(one: Sequence[float], other: Sequence[float]) -> float | None:
    freedom = len(one) + len(other) - 2
    if min(len(one), len(other)) < 2:
        return None
    squares = sum((len(group) - 1) * np.var(group, ddof=1) for group in (one, other))
    return float(math.sqrt(squares / freedom))
