"""Comparisons between modes, stability of the latencies, and the report on both."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semgap.comparisons import ComparisonRow, compare
from semgap.csv_rows import read_rows, write_rows
from semgap.stability import stability
from semgap.stats import exact_permutation_p, hedges_g, holm, mean_interval, ratio_interval, welch
from semgap.stats_report import stats_report
from semgap.summary import RepeatRow, summarise

MODES = ("local", "naive", "remote_cache", "semantic")
LEVELS_S = {"local": 1.0, "naive": 8.0, "remote_cache": 2.0, "semantic": 1.1}


def repeat_row(phase, mode, repeat, run_order, latency_s):
    measured = {
        "phase": phase,
        "mode": mode,
        "repeat": repeat,
        "run_order": run_order,
        "latency_s": latency_s,
        "network_source": "tcpdump",
    }
    absent = ("network_retransmitted_bytes", "network_frame_bytes", "gpu_kernel_percent")
    names = RepeatRow.__struct_fields__
    return RepeatRow(**{**dict.fromkeys(names, 0), **dict.fromkeys(absent), **measured})


def experiment(repeats, seed=1, modes=MODES, latency_s=None):
    """Rows of interleaved rounds; ``latency_s(mode, run_order)`` replaces seeded latencies."""
    random_ = random.Random(seed)

    def drawn_s(mode, _run_order):
        return LEVELS_S[mode] * random_.uniform(0.95, 1.05)

    order = [(repeat, mode) for repeat in range(1, repeats + 1) for mode in modes]
    return [
        repeat_row(phase, mode, repeat, run_order, (latency_s or drawn_s)(mode, run_order))
        for run_order, (repeat, mode) in enumerate(order, start=1)
        for phase in ("setup", "prefill", "decode")
    ]


def latencies(rows, phase, mode):
    return [row.latency_s for row in rows if (row.phase, row.mode) == (phase, mode)]


def compared(rows, phase, mode, base):
    (row,) = [
        row for row in compare(rows) if (row.phase, row.mode, row.base) == (phase, mode, base)
    ]
    return row


def report(rows, steps_s=None):
    return stats_report(summarise(rows), compare(rows), stability(rows, steps_s or {}))


def said(text):
    """The sentences on what cannot be concluded."""
    return text.partition("## What cannot be concluded")[2]


def test_the_summary_has_the_spread_of_the_latency():
    (row,) = summarise(
        [repeat_row("decode", "local", n, n, value) for n, value in enumerate((4.0, 1.0, 2.0))]
    )
    interval = mean_interval([4.0, 1.0, 2.0])
    assert (row.latency_median_s, row.latency_mad_s) == (2.0, 1.0)
    assert (row.latency_min_s, row.latency_max_s) == (1.0, 4.0)
    assert (row.latency_ci_low_s, row.latency_ci_high_s) == (interval.low, interval.high)


def test_the_summary_of_one_repeat_has_no_interval():
    (row,) = summarise([repeat_row("decode", "local", 1, 1, 0.5)])
    assert (row.latency_ci_low_s, row.latency_ci_high_s) == (None, None)
    assert (row.latency_median_s, row.latency_mad_s) == (0.5, 0.0)


def test_each_mode_is_compared_with_each_base_but_itself():
    modes = ("naive", "semantic", "local")
    pairs = [(row.phase, row.mode, row.base) for row in compare(experiment(3, modes=modes))]
    of_a_phase = [
        ("naive", "local"),
        ("naive", "semantic"),
        ("semantic", "local"),
        ("local", "semantic"),
    ]
    assert pairs == [(phase, *pair) for phase in ("prefill", "decode") for pair in of_a_phase]


def test_a_base_that_was_not_run_is_left_out():
    assert {row.base for row in compare(experiment(3, modes=("local", "naive")))} == {"local"}
    assert compare(experiment(3, modes=("naive", "remote_cache"))) == []


def test_a_row_has_the_statistics_of_its_latencies():
    rows = experiment(4)
    row = compared(rows, "decode", "naive", "semantic")
    own, base = latencies(rows, "decode", "naive"), latencies(rows, "decode", "semantic")
    interval, test = ratio_interval(own, base), welch(own, base)
    assert (row.n, row.n_base) == (4, 4)
    assert row.ratio == pytest.approx(sum(own) / sum(base))
    assert (row.ratio_ci_low, row.ratio_ci_high) == (interval.low, interval.high)
    assert (row.welch_t, row.welch_df, row.welch_p) == (test.t, test.df, test.p)
    assert row.permutation_p == exact_permutation_p(own, base) == row.smallest_permutation_p
    assert row.hedges_g == hedges_g(own, base) > 0
    assert row.welch_t > 0


def test_tests_are_made_against_semantic_alone():
    row = compared(experiment(3), "decode", "naive", "local")
    assert row.ratio_ci_low is not None
    tests = ComparisonRow.__struct_fields__[8:]
    assert tests[0] == "welch_t"
    assert {getattr(row, name) for name in tests} == {None}


def test_both_phases_are_one_family():
    tests = [row for row in compare(experiment(3)) if row.base == "semantic"]
    assert len(tests) == 6
    assert [row.welch_p_holm for row in tests] == list(holm([row.welch_p for row in tests]))
    smallest = min(tests, key=lambda row: row.welch_p)
    assert smallest.welch_p_holm == pytest.approx(6 * smallest.welch_p)
    assert [row.permutation_p_holm for row in tests] == list(
        holm([row.permutation_p for row in tests])
    )


def test_one_repeat_has_a_ratio_and_no_test():
    row = compared(experiment(1), "prefill", "naive", "semantic")
    assert row.ratio > 1
    assert (row.ratio_ci_low, row.welch_p, row.welch_p_holm, row.hedges_g) == (None,) * 4
    assert (row.permutation_p, row.smallest_permutation_p) == (1.0, 1.0)


def test_comparisons_come_back_from_csv(tmp_path):
    rows = compare(experiment(3))
    write_rows(tmp_path / "comparisons.csv", ComparisonRow, rows)
    assert read_rows(tmp_path / "comparisons.csv", ComparisonRow) == rows


def test_a_rising_latency_is_drift_whatever_the_level_of_its_mode():
    def rising_s(mode, run_order):
        return LEVELS_S[mode] * (1 + 0.01 * run_order)

    for drift in stability(experiment(5, latency_s=rising_s), {}).drifts:
        assert drift.runs == 20
        assert drift.correlation.tau > 0.5
        assert drift.correlation.p < 0.01


def test_levels_of_modes_are_no_drift():
    # In each round, modes run from the slowest to the fastest.
    ordered = sorted(MODES, key=LEVELS_S.__getitem__, reverse=True)
    p_values = [
        drift.correlation.p
        for seed in range(20)
        for drift in stability(experiment(3, seed, ordered), {}).drifts
    ]
    assert sum(p < 0.05 for p in p_values) <= 6


def test_one_repeat_of_each_mode_shows_no_drift():
    assert [drift.correlation for drift in stability(experiment(1), {}).drifts] == [None, None]
    assert [drift.runs for drift in stability(experiment(1), {}).drifts] == [0, 0]


def one_slow_s(mode, run_order):
    slow = 3.0 if (mode, run_order) == ("naive", 10) else 1.0
    return LEVELS_S[mode] * slow * (1 + 0.01 * (run_order % 3))


def test_a_slow_repeat_is_an_outlier_where_there_are_enough():
    found = {
        (sample.phase, sample.mode): sample.outliers
        for sample in stability(experiment(6, latency_s=one_slow_s), {}).samples
    }
    assert found.pop(("decode", "naive")) == (3,)
    assert found.pop(("prefill", "naive")) == (3,)
    assert set(found.values()) == {()}


def test_outliers_are_looked_for_among_five_but_not_among_four():
    for repeats, none_found in ((4, None), (5, ())):
        rows = experiment(repeats, modes=("local",), latency_s=lambda _mode, order: 1.0 + order)
        samples = stability(rows, {}).samples
        assert {sample.outliers for sample in samples} == {none_found}


def test_bimodality_needs_ten_steps_and_knows_no_scale():
    two = [1.0, 1.1, 1.05, 1.02, 1.08, 9.0, 9.1, 9.05, 9.02, 9.08]
    shapes = stability(
        [], {"a": two, "b": [1e-3 * value for value in two], "c": two[:9], "d": range(10)}
    ).shapes
    assert [shape.steps for shape in shapes] == [10, 10, 9, 10]
    assert shapes[0].coefficient == pytest.approx(shapes[1].coefficient)
    assert shapes[0].coefficient > 5 / 9 > shapes[3].coefficient
    assert shapes[2].coefficient is None


def test_the_report_of_three_repeats_says_that_three_cannot_show_a_difference():
    text = said(report(experiment(3)))
    assert (
        "With n = 3 against 3 repeats the smallest possible exact two-sided permutation p is 0.1: "
        "no difference can be significant at 0.05 by that test, whatever the data." in text
    )
    assert "n = 3 values cannot show that they are" in text
    assert "n = 1" not in text


def test_four_repeats_fail_by_the_correction_alone():
    text = said(report(experiment(4)))
    assert "p is 0.02857 and, by Holm's correction, 0.1714: no difference" in text


def test_five_repeats_can_show_a_difference():
    text = said(report(experiment(5)))
    assert "p is 0.007937 and, by Holm's correction, 0.04762: a difference can be" in text
    assert "no difference" not in text
    assert "n = 5 values cannot show that they are" in text


def test_one_repeat_is_said_to_have_no_spread():
    text = report(experiment(1))
    assert "One repeat (n = 1) has no spread" in said(text)
    assert "cannot show that they are" not in said(text)
    assert "unbounded" not in text.partition("Ratios of mean latencies")[0]


def test_a_mode_with_fewer_repeats_has_its_own_sentence():
    rows = [row for row in experiment(5) if row.mode != "naive" or row.repeat <= 3]
    text = said(report(rows))
    assert "With n = 3 against 5 repeats" in text
    assert "With n = 5 against 5 repeats" in text
    assert "n = 3 or 5 values" in text


def test_a_permutation_test_that_is_not_made_is_named():
    text = said(report(experiment(11, modes=("naive", "semantic"))))
    assert "With n = 11 against 11 repeats there are more than 200000 splits" in text


def test_many_repeats_can_show_whether_they_are_normal():
    assert "cannot show that" not in said(report(experiment(30, modes=("naive", "semantic"))))


def test_the_report_has_a_line_for_each_phase_and_mode():
    text = report(experiment(3), {"naive": [1.0, 2.0]})
    table = text.partition("# Statistics of the latency")[2].partition("\n\nSeconds")[0]
    assert [
        tuple(cell.strip() for cell in line.split("|")[1:4])
        for line in table.strip().splitlines()[2:]
    ] == [(phase, mode, "3") for phase in ("Prefill", "Decode") for mode in MODES]
    assert "prefill of local (n = 3)" in text
    for heading in ("Ratio to `local`", "Ratio to `semantic`", "Tests against `semantic`"):
        assert f"## {heading}" in text


def test_an_unbounded_ratio_is_called_so():
    def noisy_s(mode, run_order):
        return 1.0 + (mode == "local") * 100.0 * (run_order == 1) + 0.01 * run_order

    assert "unbounded" in report(experiment(3, latency_s=noisy_s)).partition("## Ratio to `sem")[0]


def test_outliers_and_bimodality_are_named_and_nothing_is_removed():
    rows = experiment(6, latency_s=one_slow_s)
    text = report(rows, {"naive": [1.0, 1.1] * 5, "local": [1.0]})
    assert "above 3.5: prefill of naive, repeat 3; decode of naive, repeat 3." in text
    lines = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    assert next(line for line in lines if line[1:3] == ["naive", "10"])[-2] == "yes"
    assert next(line for line in lines if line[1:3] == ["local", "1"])[-2] == "–"
    assert "Not looked for" not in text
    assert "Nothing was removed" in text


def test_a_report_without_the_bases_has_no_comparison():
    text = report(experiment(3, modes=("naive",)))
    assert "Ratio" not in text
    assert "permutation" not in text


@given(st.integers(0, 1000), st.sampled_from([1, 2, 3, 5]))
def test_the_report_does_not_show_the_last_bits(seed, repeats):
    rows = experiment(repeats, seed)
    nudged = [
        repeat_row(row.phase, row.mode, row.repeat, row.run_order, row.latency_s * (1 + 2**-52))
        for row in rows
    ]
    assert report(nudged) == report(rows)
