"""Statistics of few repeats, with the same digits on every processor.

Vectorised loops and the C library's exp and log take another code path on another processor, and
differ in the last digits. So sums are exact (``statistics``), logarithms are decimal ones of 28
digits, and quantiles are rounded to ten.
"""

import functools
import statistics
from collections.abc import Sequence
from decimal import Decimal

import msgspec

CONFIDENCE = 0.95
# How often a difference that is called detectable is found.
_POWER = 0.8
_QUANTILE_DIGITS = 10


class MeanRatio(msgspec.Struct, frozen=True):
    """Geometric mean of the ratios of values that belong together.

    low, high: 95 % interval, Student's t of the logarithms; None for one pair.
    detectable: the smallest ratio above 1 that as many pairs with this scatter show in about 4 of 5
    cases (two-sided t test of the logarithms, α = 0.05); None for one pair.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    detectable: float | None = None


def mean_ratio(values: Sequence[float], baseline: Sequence[float]) -> MeanRatio:
    """Compare positive values with those of a baseline, pair by pair."""
    logarithms = [
        (Decimal(value) / Decimal(base)).ln() for value, base in zip(values, baseline, strict=True)
    ]
    count = len(logarithms)
    mean = sum(logarithms, Decimal()) / count
    if count < 2:
        return MeanRatio(float(mean.exp()))
    squares = sum(((one - mean) ** 2 for one in logarithms), Decimal())
    error = (squares / (count - 1) / count).sqrt()
    half = t_quantile((1 + CONFIDENCE) / 2, count - 1) * error
    detectable = half + t_quantile(_POWER, count - 1) * error
    return MeanRatio(*(float(one.exp()) for one in (mean, mean - half, mean + half, detectable)))


@functools.cache
def t_quantile(share: float, freedom: int) -> Decimal:
    """The value below which this share of Student's t distribution lies, to ten digits."""
    # Jobs that only read summaries do without scipy, whose import takes a second.
    from scipy import special

    return Decimal(f"{special.stdtrit(freedom, share):.{_QUANTILE_DIGITS}g}")


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation (n−1); None for one value."""
    return statistics.stdev(values) if len(values) > 1 else None


def median_deviation(values: Sequence[float]) -> float:
    """Median absolute deviation from the median, not scaled."""
    middle = statistics.median(values)
    return statistics.median(abs(value - middle) for value in values)


def percentile(values: Sequence[float], percent: int) -> float:
    """The percentile by linear interpolation between the values."""
    ordered = sorted(values)
    whole, hundredths = divmod(percent * (len(ordered) - 1), 100)
    if not hundredths:
        return ordered[whole]
    return ordered[whole] + (ordered[whole + 1] - ordered[whole]) * hundredths / 100
