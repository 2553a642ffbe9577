"""Statistics of a few repeats: intervals, tests of a difference, spread and shape.

Pure functions on sequences of floats. Where the data do not determine a result, it is None. Means
and variances are those of the ``statistics`` module, which are rounded once, so that they do not
depend on the machine's vector instructions. ``scipy.stats`` is reached as an attribute: scipy then
loads it when it is first used, and a command that only reads rows does not wait for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from statistics import fmean, median, variance

import scipy

CONFIDENCE = 0.95
# SAS/STAT User's Guide, CLUSTER procedure: the coefficient of a uniform distribution is 5/9; larger
# ones may indicate several modes.
BIMODALITY_THRESHOLD = 5 / 9
# Iglewicz & Hoaglin, "How to Detect and Handle Outliers", 1993.
OUTLIER_SCORE = 3.5
# About 0.2 s of enumeration; covers 10 against 10 values, which are 184 756 splits.
MOST_SPLITS = 200_000
# The MAD of a normal distribution in standard deviations, to the digits of Iglewicz & Hoaglin.
_NORMAL_MAD = 0.6745


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of its values."""

    low: float
    high: float


@dataclass(frozen=True)
class Welch:
    """Welch's test of equal means: its statistic, degrees of freedom and two-sided p."""

    t: float
    df: float
    p: float


@dataclass(frozen=True)
class Correlation:
    """Kendall's tau-b and its two-sided p."""

    tau: float
    p: float


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Student's t interval of the mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = fmean(values)
    half = _t_quantile(len(values) - 1, confidence) * math.sqrt(_variance_of_mean(values))
    return Interval(mean - half, mean + half)


def ratio_interval(
    numerator: Sequence[float], denominator: Sequence[float], confidence: float = CONFIDENCE
) -> Interval | None:
    """Fieller's interval of the ratio of two independent means with unequal variances.

    The ratios θ for which t² ≤ q² with t = (m₁ − θ m₂) / √(v₁ + θ² v₂), where v are the squared
    standard errors and q is the t quantile (Fieller, J. R. Stat. Soc. B 16, 1954, 175–185). Its
    degrees of freedom are those of Welch and Satterthwaite for m₁ − θ m₂ at the estimated ratio
    (Tamhane & Logan, J. Biopharm. Stat. 14, 2004, 843–856).

    Returns:
        None where a side has fewer than two values, or where the interval is unbounded because the
        denominator's mean does not differ from 0 at this confidence.
    """
    if min(len(numerator), len(denominator)) < 2:
        return None
    m1, m2 = fmean(numerator), fmean(denominator)
    v1, v2 = _variance_of_mean(numerator), _variance_of_mean(denominator)
    if m2 == 0:
        return None
    ratio = m1 / m2
    # In units of the denominator's mean, so that no square of a small mean vanishes.
    u1, u2 = v1 / m2**2, v2 / m2**2
    own, scaled = u1, ratio**2 * u2
    if own + scaled == 0:
        return Interval(ratio, ratio)
    share = own / (own + scaled)
    df = 1 / (share**2 / (len(numerator) - 1) + (1 - share) ** 2 / (len(denominator) - 1))
    quantile = _t_quantile(df, confidence)
    bounded = 1 - quantile**2 * u2
    if bounded <= 0:
        return None
    half = quantile * math.sqrt(scaled + bounded * u1)
    return Interval((ratio - half) / bounded, (ratio + half) / bounded)


def welch(a: Sequence[float], b: Sequence[float]) -> Welch | None:
    """Welch's t test of equal means.

    Returns:
        None where a side has fewer than two values or both are constant.
    """
    if min(len(a), len(b)) < 2 or (_is_constant(a) and _is_constant(b)):
        return None
    result = scipy.stats.ttest_ind(a, b, equal_var=False)
    return Welch(float(result.statistic), float(result.df), float(result.pvalue))


def exact_permutation_p(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Two-sided permutation test of the difference of means, over all C(n+m, n) splits.

    The share of splits whose absolute difference is at least the observed one. Sums are those of
    the decimal numbers that the values print as, without rounding, so that ties are ties.

    Returns:
        None where a side is empty or there are more than ``MOST_SPLITS`` splits.
    """
    splits = math.comb(len(a) + len(b), len(a))
    if min(len(a), len(b)) < 1 or splits > MOST_SPLITS:
        return None
    deviations = _integer_deviations([*a, *b])
    observed = abs(sum(deviations[: len(a)]))
    extreme = sum(abs(sum(split)) >= observed for split in combinations(deviations, len(a)))
    return extreme / splits


def smallest_permutation_p(n: int, m: int) -> float:
    """The smallest p that ``exact_permutation_p`` can give for n against m values.

    With n = m, each split and its mirror image are equally extreme; otherwise one split can be
    more extreme than all others.
    """
    return (2 if n == m else 1) / math.comb(n + m, n)


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's step-down adjustment of a family of p values (Scand. J. Stat. 6, 1979, 65–70).

    Tests without a p (None) are not part of the family and stay None.
    """
    present = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(present):
        largest = max(largest, min(1.0, (len(present) - rank) * p))
        adjusted[index] = largest
    return tuple(adjusted)


def hedges_g(a: Sequence[float], b: Sequence[float]) -> float | None:
    """The difference of means (a − b) in pooled standard deviations, corrected for small samples.

    Hedges, J. Educ. Stat. 6, 1981, 107–128, with the exact factor of gamma functions.

    Returns:
        None with fewer than two degrees of freedom or where both sides are constant.
    """
    df = len(a) + len(b) - 2
    if df < 2 or min(len(a), len(b)) < 1:
        return None
    pooled = math.sqrt((_sum_of_squares(a) + _sum_of_squares(b)) / df)
    if pooled == 0:
        return None
    correction = math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2)
    return correction * (fmean(a) - fmean(b)) / pooled


def median_absolute_deviation(values: Sequence[float]) -> float:
    """The median distance from the median, unscaled.

    Raises:
        statistics.StatisticsError: there are no values.
    """
    middle = median(values)
    return median(abs(value - middle) for value in values)


def modified_z_outliers(values: Sequence[float]) -> tuple[int, ...]:
    """Indices of the values whose modified z score exceeds 3.5 (Iglewicz & Hoaglin 1993).

    The score is 0.6745 (x − median) / MAD. It does not exist where the MAD is 0, that is where
    more than half of the values are equal; then no value is called an outlier.
    """
    if not values:
        return ()
    middle, spread = median(values), median_absolute_deviation(values)
    if spread == 0:
        return ()
    return tuple(
        index
        for index, value in enumerate(values)
        if _NORMAL_MAD * abs(value - middle) / spread > OUTLIER_SCORE
    )


def bimodality_coefficient(values: Sequence[float]) -> float | None:
    """Sarle's coefficient with its correction for finite samples (SAS, CLUSTER procedure).

    (g₁² + 1) / (g₂ + 3 (n−1)² / ((n−2)(n−3))) of the bias-corrected skewness g₁ and excess
    kurtosis g₂. Skewed distributions with a single mode can exceed the threshold too.

    Returns:
        None for fewer than four values or constant ones.
    """
    n = len(values)
    if n < 4 or _is_constant(values):
        return None
    skewness = float(scipy.stats.skew(values, bias=False))
    kurtosis = float(scipy.stats.kurtosis(values, bias=False))
    coefficient = (skewness**2 + 1) / (kurtosis + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3)))
    return None if math.isnan(coefficient) else coefficient


def drift(order: Sequence[float], values: Sequence[float]) -> Correlation | None:
    """Kendall's rank correlation of values with the order in which they were measured.

    Its p is exact for up to 33 values without ties, and a normal approximation otherwise.

    Returns:
        None for fewer than two values or where a side is constant.
    """
    if len(values) < 2 or _is_constant(values) or _is_constant(order):
        return None
    result = scipy.stats.kendalltau(order, values)
    return Correlation(float(result.statistic), float(result.pvalue))


def _t_quantile(df: float, confidence: float) -> float:
    return float(scipy.special.stdtrit(df, (1 + confidence) / 2))


def _variance_of_mean(values: Sequence[float]) -> float:
    return variance(values) / len(values)


def _sum_of_squares(values: Sequence[float]) -> float:
    return variance(values) * (len(values) - 1) if len(values) > 1 else 0.0


def _is_constant(values: Sequence[float]) -> bool:
    return min(values) == max(values)


def _integer_deviations(values: Sequence[float]) -> list[int]:
    """The values' deviations from their mean, scaled to whole numbers by a common factor."""
    exact = [Fraction(repr(float(value))) for value in values]
    scale = math.lcm(*(value.denominator for value in exact))
    whole = [int(value * scale) for value in exact]
    total = sum(whole)
    return [len(whole) * value - total for value in whole]
