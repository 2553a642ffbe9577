"""Each span of a step beside what its bytes take in a plain copy or socket of the same job."""

import pytest
from msgspec.structs import replace

from sample_runs import begin_of, phase, run, step
from sample_table import LABELS
from semgap.analysis.gates.timing import check_goodput
from semgap.analysis.numbers.budget import budget_rows
from semgap.analysis.reports.latency import budget_warnings
from semgap.errors import MeasurementError
from semgap.measurement.job_settings import CaptureSettings
from semgap.measurement.yardstick import Yardstick, measure_yardstick
from semgap.policy import TensorClass

MB = 1_000_000
# A copy of 100 MB takes 10 ms, and crossing 100 ms.
YARDSTICK = Yardstick(copy_bytes_per_s=10_000 * MB, socket_bytes_per_s=1_000 * MB)
SPANS = {
    "placement_s": 0.001,
    "serialise_s": 0.001,
    "send_s": 0.1,
    "queue_s": 0.0,
    "worker_s": 0.201,
    "compute_s": 0.2,
    "receive_s": 0.001,
}


def runs_of(mode, up_bytes, **spans):
    """Two repeats whose steps have these spans."""
    one = replace(
        step(), **{**SPANS, **spans}, up_bytes={TensorClass.WEIGHTS: up_bytes}, down_bytes={}
    )
    for repeat in (1, 2):
        begin_s = begin_of(mode, repeat)
        phases = (
            phase("setup", begin_s),
            phase("prefill", begin_s + 10, steps=(one,)),
            phase("decode", begin_s + 20, steps=(one, one)),
        )
        yield run(mode, repeat, phases=phases, yardstick=YARDSTICK)


def rows_of(**spans):
    """Of naive, which sends 100 MB with each step and takes these spans, and of other modes."""
    small = list(runs_of("semantic", 0, send_s=0.001))
    return budget_rows([*runs_of("naive", 100 * MB, **spans), *small, *runs_of("local", 0)])


def test_the_budget_is_that_of_the_bytes_and_of_the_mode_that_takes_least():
    rows = {(row.phase, row.mode, row.span): row for row in rows_of()}
    assert len(rows) == 2 * 2 * 6
    sending = rows["decode", "naive", "sending"]
    assert (sending.taken_s, sending.content_bytes) == (0.1, 100 * MB)
    assert sending.plain_s == pytest.approx(0.1)
    assert sending.budget_s == pytest.approx(3 * 0.1 + 3 * 0.001 + 0.5e-3)
    assert rows["decode", "naive", "handling"].plain_s == pytest.approx(0.01)
    assert rows["decode", "semantic", "sending"].budget_s == pytest.approx(3.5e-3)


def test_an_honest_mode_is_not_accused():
    assert list(budget_warnings(rows_of())) == []
    check_goodput(rows_of())


@pytest.mark.parametrize(
    ("span", "seconds", "said"),
    [
        ("placement_s", 0.05, "placing takes at least 50.000 ms; for 100.000 MB, up to 33.500 ms"),
        ("serialise_s", 0.05, "serialising takes at least 50.000 ms"),
        ("send_s", 0.5, "sending takes at least 500.000 ms; for 100.000 MB, up to 303.500 ms"),
        ("queue_s", 0.001, "waiting takes at least 1.000 ms; for 0.000 MB, up to 0.500 ms"),
        ("worker_s", 0.25, "handling takes at least 50.000 ms"),
        ("receive_s", 0.005, "receiving takes at least 5.000 ms; for 0.000 MB, up to 3.500 ms"),
    ],
)
def test_warned_of_a_span_that_its_bytes_do_not_explain(span, seconds, said):
    prefill, decode = budget_warnings(rows_of(**{span: seconds}))
    assert f"of naive's prefill, {said}" in prefill
    assert f"of naive's decode, {said}" in decode


def test_refused_bytes_that_are_faster_than_plain_sockets():
    with pytest.raises(
        MeasurementError, match=r"naive's prefill, sending 100 MB took 20\.000 ms; .* 100\.000 ms"
    ):
        check_goodput(rows_of(send_s=0.02))


def test_over_a_link_of_its_own_the_network_has_no_budget():
    shaped = [
        replace(one, settings=replace(one.settings, capture=CaptureSettings(interface="any")))
        for one in runs_of("naive", 100 * MB)
    ]
    assert {row.span for row in budget_rows(shaped)} == {
        *("placing", "serialising", "waiting", "handling")
    }


def test_records_without_a_yardstick_have_no_budgets():
    assert budget_rows([run(mode) for mode in LABELS]) == []


def test_the_yardstick_is_a_rate_of_this_machine():
    found = measure_yardstick("127.0.0.1")
    assert found.copy_bytes_per_s > 10 * MB
    assert found.socket_bytes_per_s > 10 * MB
