"""Statistics against values that R 4 gives, and against what they mean."""

import dataclasses
import math
import statistics as plain
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from sample_table import LABELS, expectation, measured, rendered
from semgap.analysis.numbers.comparison import (
    ComparisonRow,
    comparisons,
    is_precise,
    wanted_repeats,
)
from semgap.analysis.numbers.summary import SummaryRow, repeat_rows, summarise
from semgap.analysis.reports.statistics import statistics_markdown, supported
from semgap.analysis.reports.table import markdown
from semgap.measurement.job_settings import StoppingRule
from semgap.plumbing import statistics
from semgap.plumbing.files import read_rows, write_rows

# R's data set `sleep`: extra hours of sleep with two drugs (Student, 1908).
FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def near(value):
    return pytest.approx(value, abs=5e-7)


def test_the_interval_of_a_ratio_is_that_of_t_test_of_the_logarithms():
    for values, low, high in ((FIRST, -0.5297804, 2.0297804), (SECOND, 0.8976775, 3.7623225)):
        found = statistics.mean_ratio([math.exp(value) for value in values], [1.0] * len(values))
        assert math.log(found.mean) == near(plain.fmean(values))
        assert (math.log(found.low), math.log(found.high)) == (near(low), near(high))


def test_quantiles_are_those_of_qt():
    assert float(statistics.t_quantile(0.975, 2)) == pytest.approx(4.302652730, abs=5e-10)
    assert float(statistics.t_quantile(0.8, 9)) == pytest.approx(0.8834039, abs=5e-8)


def test_no_quantile_is_so_near_to_half_a_digit_that_processors_could_round_it_apart():
    for freedom in range(1, 100):
        for share in (0.8, 0.975):
            exact = Decimal(float(special.stdtrit(freedom, share)))
            ulp = Decimal(math.ulp(float(exact)))
            rounded = {f"{exact + places * ulp:.10g}" for places in range(-8, 9)}
            assert len(rounded) == 1


def test_the_deviations_are_those_of_sd_and_of_mad_with_constant_1():
    assert statistics.deviation(FIRST) == near(1.7890097)
    assert statistics.deviation([1.0]) is None
    assert statistics.median_deviation([1, 2, 3, 4, 100]) == 1


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=9), st.integers(0, 100))
def test_a_percentile_is_that_of_numpy(values, percent):
    expected = float(np.percentile(values, percent))
    assert statistics.percentile(values, percent) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("count", [3, 4, 5, 10, 20])
def test_a_detectable_ratio_is_found_in_about_four_of_five_cases(count):
    values = [1 + 0.01 * number for number in range(count)]
    found = statistics.mean_ratio(values, [1.0] * count)
    error = plain.stdev(map(math.log, values)) / math.sqrt(count)
    needed = float(statistics.t_quantile(0.975, count - 1))
    power = stats.nct.sf(needed, count - 1, math.log(found.detectable) / error)
    assert power == pytest.approx(0.8, abs=0.04)


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), min_size=2, max_size=6))
def test_a_mean_ratio_lies_within_what_was_seen_and_within_its_interval(pairs):
    own, other = zip(*pairs, strict=True)
    found = statistics.mean_ratio(own, other)
    ratios = [one / two for one, two in pairs]
    assert min(ratios) * (1 - 1e-9) <= found.mean <= max(ratios) * (1 + 1e-9)
    assert found.low <= found.mean <= found.high <= found.detectable * found.mean * (1 + 1e-9)


def test_one_pair_has_no_interval_and_equal_ratios_a_point():
    assert statistics.mean_ratio([2.0], [1.0]) == statistics.MeanRatio(2.0)
    equal = statistics.mean_ratio([2.0, 4.0], [1.0, 2.0])
    assert (equal.low, equal.high, equal.detectable) == pytest.approx((2.0, 2.0, 1.0))


def compared(repeats=(1, 2, 3)):
    """Local takes 0.1 s times the repeat, and every other mode twice that."""
    runs = [
        measured(mode, repeat, 0.1 * repeat * (1 if mode == "local" else 2))
        for mode in LABELS
        for repeat in repeats
    ]
    return repeat_rows(runs)


def test_modes_are_compared_round_by_round():
    rows = {(row.phase, row.mode, row.baseline): row for row in comparisons(compared())}
    assert len(rows) == 2 * (3 + 3)
    row = rows["decode", "semantic", "local"]
    assert (row.rounds, row.ratio) == (3, pytest.approx(2))
    assert (row.ratio_low, row.ratio_high) == (pytest.approx(2), pytest.approx(2))
    assert row.detectable_ratio == pytest.approx(1)
    assert rows["decode", "naive", "semantic"].ratio == pytest.approx(1)


def test_rounds_that_one_mode_lacks_are_left_out_of_ratios():
    rows = [row for row in compared() if (row.mode, row.repeat) not in {("naive", 3), ("local", 2)}]
    found = {(row.mode, row.baseline): row for row in comparisons(rows)}
    rounds = {modes: row.rounds for modes, row in found.items()}
    assert (rounds["naive", "local"], rounds["semantic", "local"]) == (1, 2)
    assert rounds["naive", "semantic"] == 2
    assert found["semantic", "local"].ratio == pytest.approx(2)


def written(folder, row_type, rows):
    """The rows, as they come back from a file."""
    write_rows(folder / "rows.csv", row_type, rows)
    return read_rows(folder / "rows.csv", row_type)


@pytest.mark.parametrize("repeats", [(1,), (1, 2, 3), (1, 2, 3, 4, 5)])
def test_the_report_says_what_n_allows(repeats, tmp_path):
    rows = compared(repeats)
    found = written(tmp_path, ComparisonRow, comparisons(rows))
    summary = written(tmp_path, SummaryRow, summarise(rows))
    text = statistics_markdown(dataclasses.replace(rendered(), summary=summary, comparisons=found))
    assert f"n = {len(repeats)}" in text
    said = list(supported(found, LABELS))
    assert len(said) == 2
    assert all("2.000×" in one for one in said)
    assert ("shows no scatter" in said[0]) == (len(repeats) == 1)
    assert ("missed in more than one of five" in said[0]) == (len(repeats) > 1)


RULE = StoppingRule(within_percent=5, at_most=20)


def scattered(scatter, repeats):
    """Every mode but local takes twice as long, give or take, in rounds in turn."""
    takes = [1 + scatter * (-1) ** repeat for repeat in range(1, repeats + 1)]
    return comparisons(
        repeat_rows(
            [
                measured(
                    mode,
                    repeat,
                    0.1 + 1e-5 * repeat if mode == "local" else 0.2 * takes[repeat - 1],
                )
                for mode in LABELS
                for repeat in range(1, repeats + 1)
            ]
        )
    )


def wanted(scatter, repeats, rule=RULE):
    return wanted_repeats(scattered(scatter, repeats), dict.fromkeys(LABELS, repeats), rule)


def test_what_is_known_well_enough_is_not_repeated():
    assert wanted(0.001, 4) == dict.fromkeys(LABELS, 4)
    assert all(is_precise(row, RULE) for row in scattered(0.001, 4))


def test_what_scatters_is_repeated_twice_as_often_at_most_and_as_often_as_allowed():
    assert wanted(0.5, 4) == dict.fromkeys(LABELS, 8)
    assert wanted(0.5, 12) == dict.fromkeys(LABELS, 20)
    assert wanted(0.5, 20) == dict.fromkeys(LABELS, 20)
    assert wanted(0.5, 1) == wanted(0.0, 2) == dict.fromkeys(LABELS, 3)


def test_no_more_repeats_are_wanted_than_the_scatter_asks_for():
    few = wanted(0.06, 6)
    assert 6 < few["semantic"] < 12
    after = scattered(0.06, few["semantic"])
    assert all(is_precise(row, RULE) for row in after if row.baseline == "local")


def test_only_what_scatters_is_repeated_and_local_with_it():
    rows = [
        msgspec.structs.replace(row, ratio_high=row.ratio * 1.001) if row.mode == "naive" else row
        for row in scattered(0.5, 4)
    ]
    found = wanted_repeats(rows, dict.fromkeys(LABELS, 4), RULE)
    assert found == {"local": 8, "naive": 4, "remote_cache": 8, "semantic": 8}


def test_the_notes_state_the_rule_and_what_it_does_to_the_statistics():
    numbers = rendered()
    assert "Repeats were added" not in markdown(numbers)
    for compared, said in (
        (scattered(0.001, 4), "reached by all"),
        (scattered(0.5, 4), "not reac"),
    ):
        stopped = dataclasses.replace(
            numbers, comparisons=compared, expectation=expectation(stopping=RULE)
        )
        text = markdown(stopped)
        assert "within ± 5 %, at most 20 per mode" in text
        assert said in text
        assert "decided by these data" in text
    assert "decode of naive ± " in text
