"""Statistics against independent values: published examples, R's output, and brute force."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from fractions import Fraction

import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from semgap.stats import (
    BIMODALITY_THRESHOLD,
    Interval,
    bimodality_coefficient,
    drift,
    exact_permutation_p,
    hedges_g,
    holm,
    mean_interval,
    median_absolute_deviation,
    modified_z_outliers,
    ratio_interval,
    smallest_permutation_p,
    welch,
)

# R's data set `sleep`: extra hours of sleep of ten patients with each of two drugs.
SLEEP_1 = (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0)
SLEEP_2 = (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4)

latencies = st.floats(1e-3, 1e3)
samples = st.lists(latencies, min_size=2, max_size=6)
decimals = st.integers(-20, 20).map(lambda tenths: tenths / 10)
few_decimals = st.lists(decimals, min_size=1, max_size=4)


def scaled(values, factor):
    return [value * factor for value in values]


def with_moments(mean, deviation, n):
    """An even number of values with exactly this mean and sample standard deviation."""
    distance = deviation * math.sqrt((n - 1) / n)
    return [mean - distance, mean + distance] * (n // 2)


def test_the_interval_of_a_mean_is_that_of_r():
    # t.test(sleep$extra[1:10]): 95 percent confidence interval -0.5297804 2.0297804
    interval = mean_interval(SLEEP_1)
    assert (interval.low, interval.high) == pytest.approx((-0.5297804, 2.0297804), abs=5e-8)


def test_one_value_has_no_interval():
    assert mean_interval([1.0]) is None
    assert ratio_interval([1.0], [1.0, 2.0]) is None
    assert ratio_interval([1.0, 2.0], [1.0]) is None


def test_more_confidence_is_a_wider_interval():
    narrow, wide = mean_interval(SLEEP_1, 0.5), mean_interval(SLEEP_1, 0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_welch_is_that_of_r():
    # t.test(extra ~ group, data = sleep): t = -1.8608, df = 17.776, p-value = 0.07939
    test = welch(SLEEP_1, SLEEP_2)
    assert test.t == pytest.approx(-1.8608, abs=5e-5)
    assert test.df == pytest.approx(17.776, abs=5e-4)
    assert test.p == pytest.approx(0.07939, abs=5e-6)


def test_welch_needs_a_spread_and_two_values():
    assert welch([1.0, 1.0], [2.0, 2.0]) is None
    assert welch([1.0], [2.0, 3.0]) is None
    assert welch([1.0, 2.0], [3.0]) is None


@given(samples, samples)
def test_a_bound_of_the_ratio_is_where_the_test_of_the_ratio_turns(numerator, denominator):
    interval = ratio_interval(numerator, denominator)
    m1, m2 = statistics.fmean(numerator), statistics.fmean(denominator)
    v1 = statistics.variance(numerator) / len(numerator)
    v2 = statistics.variance(denominator) / len(denominator)
    ratio, variance = m1 / m2, v1 + (m1 / m2) ** 2 * v2
    if variance == 0:
        assert interval == Interval(ratio, ratio)
        return
    df = variance**2 / (
        v1**2 / (len(numerator) - 1) + (ratio**2 * v2) ** 2 / (len(denominator) - 1)
    )
    quantile = scipy.stats.t.ppf(0.975, df)
    if interval is None:
        assert abs(m2) <= quantile * math.sqrt(v2) * (1 + 1e-9)
        return
    tolerance = 1e-6 * (abs(m1) + abs(interval.high * m2))
    for bound in (interval.low, interval.high):
        assert abs(m1 - bound * m2) == pytest.approx(
            quantile * math.sqrt(v1 + bound**2 * v2), rel=1e-6, abs=tolerance
        )
    assert interval.low <= ratio * (1 + 1e-12)
    assert interval.high >= ratio * (1 - 1e-12)


def test_scipys_welch_test_agrees_at_the_bounds_of_the_ratio():
    # At equal variances and n, the degrees of freedom hardly change between the bounds.
    numerator, denominator = [10.1, 10.3, 9.8, 10.0], [5.0, 5.1, 4.9, 5.05]
    interval = ratio_interval(numerator, denominator)
    for bound in (interval.low, interval.high):
        assert welch(numerator, scaled(denominator, bound)).p == pytest.approx(0.05, abs=2e-3)


@given(samples, samples, st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_the_ratio_follows_the_scales_of_its_sides(numerator, denominator, up, down):
    before = ratio_interval(numerator, denominator)
    after = ratio_interval(scaled(numerator, up), scaled(denominator, down))
    if before is None or after is None or before.high - before.low > 100 * abs(before.low):
        return  # near the limit of being bounded, rounding decides
    factor = up / down
    assert after.low == pytest.approx(factor * before.low, rel=1e-5, abs=1e-9 * factor)
    assert after.high == pytest.approx(factor * before.high, rel=1e-5, abs=1e-9 * factor)


def test_the_interval_of_a_ratio_covers_the_true_ratio():
    random_ = random.Random(4)
    covered = 0
    for _ in range(2000):
        numerator = [random_.gauss(12, 1.5) for _ in range(5)]
        denominator = [random_.gauss(4, 0.2) for _ in range(4)]
        interval = ratio_interval(numerator, denominator)
        covered += interval.low <= 3 <= interval.high
    # Three standard errors of a proportion of 0.95 are 0.015.
    assert covered / 2000 == pytest.approx(0.95, abs=0.015)


def test_a_denominator_near_zero_has_no_bounded_ratio():
    assert ratio_interval([1.0, 2.0, 3.0], [-1.0, 0.5, 1.0]) is None
    assert ratio_interval([1.0, 2.0], [0.0, 0.0]) is None
    assert ratio_interval([1.0, 2.0], [-1.0, 1.0]) is None


def test_constant_sides_of_a_ratio():
    assert ratio_interval([3.0, 3.0], [2.0, 2.0]) == Interval(1.5, 1.5)
    interval, mean = ratio_interval([1.0, 2.0, 4.0], [2.0, 2.0]), mean_interval([1.0, 2.0, 4.0])
    assert (interval.low, interval.high) == pytest.approx((mean.low / 2, mean.high / 2))
    inverse = ratio_interval([2.0, 2.0], [10.0, 11.0, 12.0])
    of_denominator = mean_interval([10.0, 11.0, 12.0])
    assert (inverse.low, inverse.high) == pytest.approx(
        (2 / of_denominator.high, 2 / of_denominator.low)
    )
    assert ratio_interval([0.0, 0.0], [1.0, 1.1, 1.2]) == Interval(0.0, 0.0)


def test_three_against_three_that_do_not_overlap():
    assert exact_permutation_p([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]) == 0.1


@given(few_decimals, few_decimals)
def test_the_permutation_test_is_a_count_over_all_splits(a, b):
    pooled = [Fraction(round(10 * value), 10) for value in (*a, *b)]

    def difference(chosen):
        inside = [pooled[index] for index in chosen]
        outside = [value for index, value in enumerate(pooled) if index not in chosen]
        return abs(sum(inside) / len(inside) - sum(outside) / len(outside))

    splits = list(itertools.combinations(range(len(pooled)), len(a)))
    observed = difference(range(len(a)))
    count = sum(difference(chosen) >= observed for chosen in splits)
    assert exact_permutation_p(a, b) == count / len(splits)


def test_decimal_ties_are_ties():
    # The sums 0.1 + 0.6 and 0.3 + 0.4 of these doubles differ. Sums of at most 0.7 have {0.1, 0.3},
    # {0.1, 0.4}, {0.1, 0.6} and {0.3, 0.4}; the four splits with 5.0 are more extreme.
    assert exact_permutation_p([0.1, 0.6], [0.3, 0.4, 5.0]) == 8 / 10


def test_the_permutation_test_is_that_of_scipy():
    expected = scipy.stats.permutation_test(
        (SLEEP_1[:6], SLEEP_2[3:]),
        lambda x, y, axis: x.mean(axis) - y.mean(axis),
        vectorized=True,
        n_resamples=math.inf,
    ).pvalue
    assert exact_permutation_p(SLEEP_1[:6], SLEEP_2[3:]) == pytest.approx(expected)


def test_the_permutation_test_is_exact_or_not_made():
    assert exact_permutation_p([0.0] * 10, [1.0] * 10) == 2 / 184_756
    assert exact_permutation_p([0.0] * 11, [1.0] * 10) is None
    assert exact_permutation_p([], [1.0]) is None


@pytest.mark.parametrize(
    ("n", "m", "p"), [(3, 3, 0.1), (5, 5, 1 / 126), (2, 3, 0.1), (1, 1, 1.0), (4, 2, 1 / 15)]
)
def test_the_smallest_permutation_p(n, m, p):
    assert smallest_permutation_p(n, m) == pytest.approx(p)


@given(st.integers(1, 5), st.integers(1, 5))
def test_no_data_give_a_smaller_permutation_p(n, m):
    # Two groups far apart; each value differs, and no split but the mirrored one is as extreme.
    far = exact_permutation_p(
        [float(value) for value in range(n)], [1e3 + value for value in range(m)]
    )
    assert far == smallest_permutation_p(n, m)


@given(few_decimals, few_decimals)
def test_the_smallest_permutation_p_is_a_bound(a, b):
    assert exact_permutation_p(a, b) >= smallest_permutation_p(len(a), len(b))


def test_holm_is_that_of_r():
    # p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm"): 0.05 0.08 0.09 0.09 0.09
    expected = (0.05, 0.08, 0.09, 0.09, 0.09)
    p_values = (0.01, 0.02, 0.03, 0.04, 0.05)
    assert holm(p_values) == pytest.approx(expected)
    assert holm(p_values[::-1]) == pytest.approx(expected[::-1])


def test_what_was_not_tested_is_not_corrected_for():
    assert holm([None, 0.01, None, 0.04]) == (None, 0.02, None, 0.04)
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_lies_between_the_p_and_bonferroni(p_values):
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        assert p <= adjusted <= min(1.0, len(p_values) * p)


def test_hedges_g_is_that_of_borenstein():
    # Borenstein, Hedges, Higgins & Rothstein, Introduction to Meta-Analysis, 2009, chapter 4:
    # means 103 and 100, standard deviations 5.5 and 4.5, 50 each: d = 0.5970, J = 0.9923,
    # g = 0.5924.
    treated, control = with_moments(103, 5.5, 50), with_moments(100, 4.5, 50)
    assert statistics.stdev(treated) == pytest.approx(5.5)
    assert hedges_g(treated, control) == pytest.approx(0.5924, abs=5e-5)
    assert hedges_g(control, treated) == pytest.approx(-0.5924, abs=5e-5)


def test_the_correction_of_hedges_g_is_exact_for_small_samples():
    # With 4 degrees of freedom, J = Γ(2) / (√2 Γ(3/2)) = √(2/π); the pooled deviation is 1.
    assert hedges_g([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]) == pytest.approx(-math.sqrt(2 / math.pi))


def test_hedges_g_needs_a_spread_and_degrees_of_freedom():
    assert hedges_g([1.0, 1.0], [2.0, 2.0]) is None
    assert hedges_g([1.0], [2.0, 3.0]) is None
    assert hedges_g([], [2.0, 3.0, 4.0, 5.0]) is None
    assert hedges_g([1.0], [2.0, 3.0, 4.0]) < 0


def test_the_median_absolute_deviation():
    assert median_absolute_deviation([1, 1, 2, 2, 4, 6, 9]) == 1


@given(samples, st.floats(1e-2, 1e2))
def test_the_median_absolute_deviation_scales(values, factor):
    expected = factor * median_absolute_deviation(values)
    assert median_absolute_deviation(scaled(values, factor)) == pytest.approx(expected, abs=1e-9)


def test_a_value_is_an_outlier_above_a_score_of_three_and_a_half():
    # Median 3 and MAD 1: the score of x is 0.6745 |x − 3|, which exceeds 3.5 beyond 3 ± 5.189.
    assert modified_z_outliers([1.0, 2.0, 3.0, 4.0, 8.1]) == ()
    assert modified_z_outliers([1.0, 2.0, 3.0, 4.0, 8.2]) == (4,)
    assert modified_z_outliers([-2.2, 2.0, 3.0, 4.0, 4.5]) == (0,)


def test_without_a_spread_there_are_no_outliers():
    assert modified_z_outliers([1.0, 1.0, 1.0, 5.0]) == ()
    assert modified_z_outliers([]) == ()


def test_the_bimodality_coefficient_of_known_distributions():
    n = 20_000
    middles = [(index + 0.5) / n for index in range(n)]
    uniform = bimodality_coefficient(middles)
    exponential = bimodality_coefficient([-math.log(1 - middle) for middle in middles])
    normal = bimodality_coefficient(scipy.stats.norm.ppf(middles).tolist())
    # Skewness γ and kurtosis κ of each distribution give (γ² + 1) / κ.
    assert uniform == pytest.approx(BIMODALITY_THRESHOLD, abs=1e-3)
    assert normal == pytest.approx(1 / 3, abs=2e-3)
    assert exponential == pytest.approx(5 / 9, abs=1e-2)
    assert bimodality_coefficient([0.0, 1.0] * (n // 2)) == pytest.approx(1, abs=1e-3)


def test_the_bimodality_coefficient_corrects_for_finite_samples():
    # Symmetric, so g₁ = 0. Of [0, 0, 1, 1]: m₂ = 1/4, m₄ = 1/16, so the excess kurtosis is −2 and
    # g₂ = (n−1) / ((n−2)(n−3)) ((n+1)(−2) + 6) = 3/2 · (−4) = −6; the term added is 27/2.
    assert bimodality_coefficient([0.0, 0.0, 1.0, 1.0]) == pytest.approx(1 / (13.5 - 6))
    # Of [0, 0, 0, 1]: m₂ = 3/16, m₃ = 3/32, m₄ = 21/256, which gives g₁ = 2 and g₂ = 4.
    assert bimodality_coefficient([0.0, 0.0, 0.0, 1.0]) == pytest.approx(5 / (13.5 + 4))


def test_the_bimodality_coefficient_needs_four_values_that_differ():
    assert bimodality_coefficient([1.0, 2.0, 4.0]) is None
    assert bimodality_coefficient([0.1] * 10) is None


def test_drift_is_kendalls_correlation_as_in_r():
    # R, example of ?cor.test (Hollander & Wolfe 1973): cor.test(x, y, method = "kendall"):
    # T = 26, p-value = 0.1194, tau 0.4444444
    x = (44.4, 45.9, 41.9, 53.3, 44.7, 44.1, 50.7, 45.2, 60.1)
    y = (2.6, 3.1, 2.5, 5.0, 3.6, 4.0, 5.2, 2.8, 3.8)
    found = drift(x, y)
    assert found.tau == pytest.approx(0.4444444, abs=5e-8)
    assert found.p == pytest.approx(0.1194, abs=5e-5)


def test_drift_has_a_direction_and_needs_a_change():
    assert drift([1, 2, 3, 4], [1.0, 1.1, 1.2, 1.3]).tau == 1
    assert drift([4, 3, 2, 1], [1.0, 1.1, 1.2, 1.3]).tau == -1
    # Two of the 24 orders of four values are this extreme.
    assert drift([1, 2, 3, 4], [1.0, 1.1, 1.2, 1.3]).p == pytest.approx(2 / 24)
    assert drift([1, 2, 3], [1.0, 1.0, 1.0]) is None
    assert drift([1], [1.0]) is None
