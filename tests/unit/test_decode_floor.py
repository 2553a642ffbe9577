"""What a decode step takes beside its floor, from numbers that are easy to follow."""

import pytest

from sample_table import LABELS
from semgap.analysis.numbers.numbers import PHASES, TableRow
from semgap.analysis.numbers.summary import SummaryRow
from semgap.analysis.reports.statistics import decode_markdown, decode_rows


def table_row(phase, mode, **means):
    quantities = {
        name: SummaryRow(phase, mode, name, 1, mean, None, mean, 0.0, mean, mean, "x")
        for name, mean in means.items()
    }
    return TableRow(phase, mode, LABELS[mode].text, LABELS[mode].latex, quantities)


MEASURED = {
    "latency_per_step_s": 0.010,
    "steps": 5.0,
    "gpu_kernel_busy_s": 0.030,
    "gpu_kernels": 2000.0,
}
WITH_FLOOR = {**MEASURED, "gpu_memory_read_bytes_per_s": 2e12}


def test_a_step_is_split_and_held_against_the_floor():
    table = [table_row(phase, "local", **WITH_FLOOR) for phase in PHASES]
    (row,) = decode_rows(table, weights_bytes=10_000_000_000)
    assert row.kernel_s == pytest.approx(0.006)
    assert row.gap_s == pytest.approx(0.004)
    assert row.kernels == 400
    assert row.floor_s == pytest.approx(0.005)
    assert row.share_of_floor == pytest.approx(0.5)
    text = decode_markdown([row], "graph")
    assert "engine `graph`" in text
    cells = [cell.strip() for cell in text.splitlines()[-1].strip("|").split("|")]
    assert cells == [
        LABELS["local"].text,
        *("10.000", "100.0", "5.000", "50", "400", "6.000", "4.000"),
    ]


def test_records_without_a_floor_have_dashes_and_runs_on_a_cpu_no_section():
    text = decode_markdown(decode_rows([table_row("decode", "local", **MEASURED)], 1), "eager")
    assert text.splitlines()[-1].count(" – |") == 2
    on_cpu = table_row("decode", "local", latency_per_step_s=0.01, steps=5.0)
    assert decode_markdown(decode_rows([on_cpu], 1), "eager") == ""
