"""The same bytes counted three times: where the edge of agreement is, and who is alone."""

from __future__ import annotations

import msgspec
import pytest

from consistent_runs import changed, honest, of_phase, plus
from semgap.checks.catalogue import Check
from semgap.checks.counts import count_rows
from semgap.checks.registry import run_checks
from semgap.checks.report import checks_report, traffic_report

HONEST = honest()


def findings_of(evidence):
    return run_checks(evidence, count_rows(evidence))


def count_row(predicted_bytes=200_000, captured_bytes=200_000, kernel_bytes=200_000):
    """Two messages: 0.5 % of 200,000 B and 2,000 B are 3,000 B."""
    row = next(row for row in count_rows(HONEST) if (row.mode, row.phase) == ("naive", "decode"))
    return msgspec.structs.replace(
        row,
        predicted_bytes=predicted_bytes,
        captured_bytes=captured_bytes,
        kernel_bytes=kernel_bytes,
        tolerance_bytes=3_000.0,
    )


@pytest.mark.parametrize("column", ["predicted_bytes", "captured_bytes", "kernel_bytes"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_counts_agree_up_to_the_tolerance(column, sign):
    assert count_row(**{column: 200_000 + sign * 3_000}).agrees
    assert not count_row(**{column: 200_000 + sign * 3_001}).agrees


def test_counts_on_both_sides_of_the_prediction_do_not_agree():
    assert not count_row(captured_bytes=198_499, kernel_bytes=201_500).agrees
    assert count_row(captured_bytes=198_500, kernel_bytes=201_500).agrees


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((10_000, 200_000, 200_000), "the prediction stands alone"),
        ((200_000, 10_000, 200_000), "the capture stands alone"),
        ((200_000, 200_000, 10_000), "the kernel stands alone"),
        ((200_000, 203_000, 10_000), "the kernel stands alone"),
        ((200_000, 203_001, 10_000), "no majority"),
        ((200_000, 100_000, 10_000), "no majority"),
        # Each agrees with the one in the middle.
        ((200_000, 198_000, 202_000), "no majority"),
        ((200_000, None, 10_000), "no majority"),
    ],
)
def test_the_instrument_that_is_alone_is_named(counts, verdict):
    (finding,) = run_checks(HONEST, [count_row(*counts)])
    assert finding.check is Check.THREE_COUNTS
    assert finding.where == "naive, repeat 1, decode up"
    assert f": {verdict} (tolerance 3,000 B)" in finding.what
    for count in counts:
        assert count is None or f"{count:,} B" in finding.what


def test_one_byte_beyond_the_tolerance_of_a_run():
    # Decode of naive moves 5,370 B up in 3 messages: 26.85 B and 3,000 B.
    within = changed(HONEST, "naive", 1, of_phase("decode", socket_up_bytes=plus(3_026)))
    beyond = changed(HONEST, "naive", 1, of_phase("decode", socket_up_bytes=plus(3_027)))
    assert findings_of(within) == []
    assert [found.check for found in findings_of(beyond)] == [Check.THREE_COUNTS]


def test_rows_say_what_was_predicted_by_class_and_on_a_wire():
    row = next(
        row
        for row in count_rows(HONEST)
        if (row.mode, row.phase, row.direction) == ("naive", "decode", "up")
    )
    assert (row.weights_bytes, row.kv_cache_bytes, row.tokens_bytes, row.logits_bytes) == (
        3 * 1_024,
        (5 + 6 + 7) * 80,
        24,
        0,
    )
    # Each: 110 B, 7 tensors of 8 B, 24 B behind the first weight; 28, 8 and 52 B behind each of
    # the first 3 of 4 KV cache tensors of 100, 120 and 140 B.
    assert row.framing_bytes == 3 * (110 + 56 + 24) + 3 * (28 + 8 + 52)
    assert (row.messages, row.predicted_bytes) == (3, 5_370)
    # 1,706, 1,726 and 1,938 B: 2 segments each, or 1.
    assert row.wire_mtu_1500_bytes == 5_370 + 6 * 90
    assert row.wire_mtu_9000_bytes == 5_370 + 3 * 90


def test_the_reports_say_what_was_found():
    assert "All 64 rows agree" in traffic_report(count_rows(HONEST))
    assert "No finding." in checks_report([])
    evidence = changed(HONEST, "semantic", 1, of_phase("decode", socket_up_bytes=9_999))
    report = checks_report(findings_of(evidence))
    assert "1 findings: no table is built." in report
    assert "- `three-counts` at semantic, repeat 1, decode up: the prediction 378 B" in report
    text = traffic_report(count_rows(evidence))
    assert "1 of 64 rows disagree: no table is built." in text
    (line,) = [line for line in text.splitlines() if "**no**" in line]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == [
        "Decode",
        "semantic",
        "1",
        "up",
        "378",
        "378",
        "9,999",
        "+0",
        "+9,621",
        "3,002",
        "**no**",
    ]
