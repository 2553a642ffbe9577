"""What the reports on the link and on the step path compute from samples and records."""

import math

import msgspec
import pytest

from sample_runs import phase, run, step
from semgap.analysis.reports.overhead import overhead_report, overhead_rows
from semgap.linkbench.contenders import CEILING
from semgap.linkbench.measure import message_sizes
from semgap.linkbench.rates import (
    LinkFacts,
    TimeSample,
    WireSample,
    ceiling_of,
    goodput_rows,
    known_within,
    round_trip_rows,
)
from semgap.linkbench.report import link_report
from semgap.plumbing.provenance import Machine

MEGABYTES_64 = 64_000_000
FACTS = LinkFacts(
    contenders=(CEILING, "tcp"),
    host="127.0.0.1",
    machine=Machine("host", "6.0", "a processor", 2, 8_000_000_000, ""),
    device="cpu",
    torch="2.13",
    congestion_control="cubic",
    system_congestion_control="bbr",
    iperf3_bytes_per_s=(),
    no_wire_samples="",
)
# The second round is on a machine half as fast: ratios within a round do not change.
TIMES = [
    TimeSample(name, MEGABYTES_64, 8, index, seconds * (1 + index))
    for index in (0, 1, 2)
    for name, seconds in (("tcp", 0.020), (CEILING, 0.016))
] + [
    TimeSample(name, 0, 200_000, index, seconds * (1 + index))
    for index in (0, 1, 2)
    for name, seconds in (("tcp", 150e-6), (CEILING, 100e-6))
    for _ in range(10)
]
WIRE = [
    WireSample("tcp", MEGABYTES_64, 8, 0, 0.032, MEGABYTES_64 + 8 + 640),
    WireSample(CEILING, MEGABYTES_64, 8, 0, 0.016, MEGABYTES_64 + 8),
]


def test_goodput_is_compared_within_a_round():
    ceiling, tcp = goodput_rows(TIMES, WIRE, FACTS.contenders)
    assert (ceiling.contender, tcp.contender) == (CEILING, "tcp")
    assert tcp.of_ceiling == pytest.approx(0.8)
    assert tcp.median_bytes_per_s == pytest.approx(MEGABYTES_64 / 0.040)
    assert tcp.max_bytes_per_s == pytest.approx(MEGABYTES_64 / 0.020)
    assert tcp.captured_bytes_per_s == pytest.approx(2e9)
    assert tcp.wire_of_payload == pytest.approx(1.00001, abs=1e-7)


def test_goodput_under_a_capture_is_that_of_the_largest_captured_message():
    assert ceiling_of(goodput_rows(TIMES, WIRE, FACTS.contenders), captured=True) == 4e9
    assert ceiling_of(goodput_rows(TIMES, [], FACTS.contenders), captured=True) is None


def test_round_trips_are_compared_within_a_round():
    by_name = {row.contender: row for row in round_trip_rows(TIMES)}
    assert by_name["tcp"].of_ceiling == pytest.approx(1.5)
    assert by_name["tcp"].median_s == pytest.approx(300e-6)
    assert by_name["tcp"].n == 30


def test_the_report_on_the_link_shows_ratios_with_their_interval():
    text = link_report(goodput_rows(TIMES, WIRE, FACTS.contenders), round_trip_rows(TIMES), FACTS)
    assert "(0.80 ± 0.00)" in text
    assert "1.50 ± 0.00" in text
    for threshold in ("≥", "≤", "yes", "Goal"):
        assert threshold not in text


def test_an_interval_is_that_of_students_t():
    """Logarithms of the ratios 0.5 and 2 are ± 0.693; their 95 % interval is ± 12.706 · 0.693."""
    times = [
        TimeSample(name, MEGABYTES_64, 8, index, seconds)
        for index, mine in enumerate((0.5, 2.0))
        for name, seconds in (("tcp", 1 / mine), (CEILING, 1.0))
    ]
    _ceiling, tcp = goodput_rows(times, [], FACTS.contenders)
    assert tcp.of_ceiling == pytest.approx(1.0)
    assert math.log(tcp.of_ceiling_high) == pytest.approx(12.7062 * math.log(2), rel=1e-4)
    assert tcp.of_ceiling_low == pytest.approx(1 / tcp.of_ceiling_high)


def test_ratios_are_known_when_all_intervals_are_narrow():
    assert known_within(TIMES, within=0.05)
    other = [*TIMES, TimeSample("tcp", MEGABYTES_64, 8, 3, 1.0)]
    other.append(TimeSample(CEILING, MEGABYTES_64, 8, 3, 0.1))
    assert not known_within(other, within=0.05)
    assert not known_within([sample for sample in TIMES if sample.round == 0], within=0.05)


def test_message_sizes_grow_to_the_largest():
    assert message_sizes(2_000_000) == [
        *(1_000, 4_000, 16_000, 64_000, 256_000),
        *(1_000_000, 2_000_000),
    ]
    assert message_sizes(1_000_000_000)[-2:] == [256_000_000, 1_000_000_000]


def records_of(mode, transport, **spans):
    """One repeat with a prefill and three decode steps that have these spans."""
    values = {"serialise_s": 0.0, "queue_s": 0.0, "worker_s": 0.2, "compute_s": 0.2, **spans}
    own = step(up=600, down=400)
    fields = {name: getattr(own, name) for name in own.__struct_fields__} | values
    spanning = ("serialise_s", "send_s", "queue_s", "worker_s", "receive_s")
    fields["latency_s"] = sum(fields[name] for name in spanning)
    steps = (type(own)(**fields),)
    phases = tuple(
        phase(name, 0, fields["latency_s"] * count, steps=steps * count)
        for name, count in (("prefill", 1), ("decode", 3))
    )
    return run(mode, transport=transport, phases=phases)


@pytest.mark.parametrize("send_s", [0.1, 0.9])
def test_overhead_tells_where_the_time_goes(send_s):
    records = [
        records_of("local", "in_process", send_s=1e-9, receive_s=1e-9),
        records_of("naive", "tcp", send_s=send_s, receive_s=0.1),
        records_of("semantic", "tcp", send_s=send_s * 1e-3, receive_s=1e-4),
    ]
    rows = overhead_rows(records)
    assert [(row.phase, row.mode) for row in rows[3:]] == [
        ("decode", "local"),
        ("decode", "naive"),
        ("decode", "semantic"),
    ]
    _local, naive, semantic = rows[3:]
    assert naive.steps == 3
    assert naive.of_local == pytest.approx((0.3 + send_s) / 0.2)
    assert naive.goodput_bytes_per_s == pytest.approx(1000 / (send_s + 0.1))
    assert naive.phase_of_transfer_and_compute == pytest.approx(1.0)
    assert semantic.beyond_compute_s == pytest.approx(send_s * 1e-3 + 1e-4)
    text = overhead_report(rows, 6000.0)
    assert "≥" not in text
    line = next(line for line in text.splitlines() if line.startswith("| Decode  | naive"))
    phase_of_transfer_and_compute, of_sockets = [cell.strip() for cell in line.split("|")][-3:-1]
    assert float(phase_of_transfer_and_compute) == 1.0
    assert of_sockets == "–"  # next to nothing crosses here


def test_overhead_without_local_has_no_ratio():
    rows = overhead_rows([records_of("semantic", "tcp", send_s=0.1, receive_s=0.1)])
    assert [row.of_local for row in rows] == [None, None]


def test_each_span_is_the_median_over_the_steps():
    steps = tuple(
        msgspec.structs.replace(step(), host_to_device_s=copy_s, device_to_host_s=2 * copy_s)
        for copy_s in (0.3, 0.01, 0.02)
    )
    phases = phase("prefill", 0), phase("decode", 0, steps=steps)
    _prefill, row = overhead_rows([run("semantic", phases=phases)])
    assert (row.host_to_device_s, row.device_to_host_s) == (0.02, 0.04)
    assert (row.send_s, row.compute_s, row.other_worker_s) == (0.1, 0.2, pytest.approx(0.1))
