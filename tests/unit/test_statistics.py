"""Statistics against values that R 4 gives, and against what they mean."""

import dataclasses
import itertools
import math
import statistics as plain

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sample_table import LABELS, measured, rendered
from semgap.analysis import statistics
from semgap.analysis.comparison import ComparisonRow, DriftRow, comparisons, drifts
from semgap.analysis.rows import PHASES, table_rows
from semgap.analysis.statistics_report import statistics_markdown, supported
from semgap.analysis.stopping import is_precise, wanted_repeats
from semgap.analysis.summary import SummaryRow, repeat_rows, summarise
from semgap.analysis.table import markdown
from semgap.measurement.job_settings import StoppingRule
from semgap.plumbing.csv_rows import read_rows, write_rows

# R's data set `sleep`: extra hours of sleep with two drugs (Student, 1908).
FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
latencies = st.lists(st.floats(0.01, 10), min_size=2, max_size=6)


def near(value):
    return pytest.approx(value, abs=5e-7)


def test_the_interval_of_a_mean_is_that_of_t_test():
    assert statistics.t_interval(FIRST) == (near(-0.5297804), near(2.0297804))
    assert statistics.t_interval(SECOND) == (near(0.8976775), near(3.7623225))
    assert statistics.t_interval([1.0]) is None


def test_welch_is_that_of_t_test():
    assert statistics.welch_p(FIRST, SECOND) == near(0.0793941)
    assert statistics.welch_p([1.0], SECOND) is None


def test_hedges_g_is_that_of_the_package_effsize():
    assert statistics.hedges_g(FIRST, SECOND) == near(-0.7970185)
    assert statistics.hedges_g([1.0, 1.0], [2.0, 2.0]) is None


def test_holm_is_that_of_p_adjust():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert statistics.holm([0.5, None, 0.9]) == [1.0, None, 1.0]


def test_power_is_that_of_power_t_test():
    """The example in its manual: n = 20, delta = 1, sd = 1."""
    assert statistics.t_test_power(1.0, 20, 20) == near(0.8689528)


def test_drift_is_kendalls_of_cor_test():
    tau, p = statistics.drift([1, 3, 2, 5, 4])
    assert (tau, p) == (near(0.6), pytest.approx(0.2333, abs=5e-5))
    assert statistics.drift([1, 2]) is None


def test_the_median_deviation_is_that_of_mad_with_constant_1():
    assert statistics.median_deviation([1, 2, 3, 4, 100]) == 1


@given(latencies, latencies)
def test_a_detectable_difference_is_found_in_four_of_five_cases(one, other):
    difference = statistics.detectable_difference(one, other)
    pooled = math.sqrt(
        sum((len(group) - 1) * plain.variance(group) for group in (one, other))
        / (len(one) + len(other) - 2)
    )
    if pooled > 1e-9:
        power = statistics.t_test_power(difference / pooled, len(one), len(other))
        assert power == pytest.approx(0.8, abs=1e-6)


@given(
    st.lists(st.integers(1, 50), min_size=2, max_size=4),
    st.lists(st.integers(1, 50), min_size=2, max_size=4),
)
def test_the_permutation_test_is_the_share_of_all_ways_to_deal(one, other):
    def difference(group, rest):
        return plain.fmean(group) - plain.fmean(rest)

    together = one + other
    dealt = []
    for chosen in itertools.combinations(range(len(together)), len(one)):
        group = [together[index] for index in chosen]
        rest = [value for index, value in enumerate(together) if index not in chosen]
        dealt.append(difference(group, rest))
    seen, slack = difference(one, other), 1e-9
    shares = [
        sum(value <= seen + slack for value in dealt) / len(dealt),
        sum(value >= seen - slack for value in dealt) / len(dealt),
    ]
    p = statistics.permutation_p(one, other)
    assert p == pytest.approx(min(1.0, 2 * min(shares)))
    assert p >= statistics.smallest_permutation_p(len(one), len(other)) - 1e-12


def test_three_repeats_never_give_a_p_below_a_tenth():
    assert statistics.permutation_p([1, 2, 3], [4, 5, 6]) == pytest.approx(0.1)
    assert statistics.smallest_permutation_p(3, 3) == pytest.approx(0.1)
    assert statistics.smallest_permutation_p(5, 5) == pytest.approx(2 / 252)


def test_of_many_repeats_a_sample_of_the_ways_to_deal_is_taken():
    drawn = np.random.default_rng(1)
    one, other = drawn.normal(0, 1, 10), drawn.normal(0.9, 1, 10)
    exact = statistics.permutation_p(one, other)
    assert exact == pytest.approx(statistics.welch_p(one, other), abs=0.01)
    assert (round(exact * math.comb(20, 10)) / math.comb(20, 10)) == pytest.approx(exact)
    one, other = drawn.normal(0, 1, 40), drawn.normal(0.4, 1, 40)
    sampled = statistics.permutation_p(one, other)
    assert sampled == pytest.approx(statistics.welch_p(one, other), abs=0.01)
    assert statistics.permutation_p(one, other) == sampled
    far = statistics.permutation_p(one, other + 99)
    assert far == pytest.approx(statistics.smallest_permutation_p(40, 40)) == pytest.approx(2e-4)


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), min_size=2, max_size=6))
def test_the_interval_of_a_ratio_lies_within_what_was_seen(pairs):
    own, other = zip(*pairs, strict=True)
    low, high = statistics.ratio_interval(own, other)
    ratios = [one / two for one, two in pairs]
    assert min(ratios) * (1 - 1e-9) <= low <= high <= max(ratios) * (1 + 1e-9)
    assert min(ratios) * (1 - 1e-9) <= statistics.mean_ratio(own, other) <= max(ratios) * 1.000001
    assert statistics.ratio_interval(own, other) == (low, high)


def test_one_pair_has_no_interval_and_equal_ratios_a_point():
    assert statistics.ratio_interval([2.0], [1.0]) is None
    assert statistics.ratio_interval([2.0, 4.0], [1.0, 2.0]) == pytest.approx((2.0, 2.0))


def test_outliers_are_named_where_there_are_enough_values():
    assert statistics.outliers([1.0, 1.1, 0.9, 1.05, 9.0]) == [4]
    assert statistics.outliers([1.0, 1.1, 9.0]) == []
    assert statistics.outliers([1.0] * 9 + [2.0]) == []


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
    assert row.holm_p >= row.permutation_p >= row.smallest_p == pytest.approx(0.1)
    assert rows["decode", "naive", "semantic"].ratio == pytest.approx(1)
    order = {row.mode: row for row in drifts(compared()) if row.phase == "decode"}
    assert order["local"].tau == pytest.approx(1)


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
    order = written(tmp_path, DriftRow, drifts(rows))
    table = table_rows(written(tmp_path, SummaryRow, summarise(rows)), LABELS, PHASES)
    text = statistics_markdown(table, found, order, LABELS)
    assert f"n = {len(repeats)}" in text
    assert ("can never give an exact p below 0.05" in text) == (len(repeats) < 4)
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
        msgspec.structs.replace(row, t_high=row.ratio * 1.001) if row.mode == "naive" else row
        for row in scattered(0.5, 4)
    ]
    found = wanted_repeats(rows, dict.fromkeys(LABELS, 4), RULE)
    assert found == {"local": 8, "naive": 4, "remote_cache": 8, "semantic": 8}


def test_the_notes_state_the_rule_and_what_it_does_to_the_statistics():
    rows, experiment = rendered()
    assert "Repeats were added" not in markdown(rows, experiment)
    for compared, said in (
        (scattered(0.001, 4), "reached by all"),
        (scattered(0.5, 4), "not reac"),
    ):
        stopped = dataclasses.replace(experiment, comparisons=compared, stopping=RULE)
        text = markdown(rows, stopped)
        assert "within ± 5 %, at most 20 per mode" in text
        assert said in text
        assert "decided by these data" in text
    assert "decode of naive ± " in text
