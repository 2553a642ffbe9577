"""The rendered table once more: every cell against a calculation that shares no code with it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from statistics import fmean, stdev

from semgap.checks.catalogue import Check, Finding
from semgap.checks.evidence import RunEvidence
from semgap.comparisons import ComparisonRow
from semgap.phases import MEASURED_PHASES
from semgap.records import PhaseRecord, RunRecord
from semgap.summary import SummaryRow
from semgap.traffic_rows import TrafficRow

_BYTES_PER_GB = 10**9
_COLUMNS = 6
_ABSENT = "–"
# The last digit of a cell is rounded, and its mean may be summed in another order.
_ROUNDING = 0.5 + 1e-6
_RELATIVE = 1e-9
# How coarse a cell may be: its last digit as a share of the value, and the last digit that is fine
# whatever the value.
_LATENCY_DIGIT = (0.01, 0.0)
_DEVIATION_DIGIT = (0.1, 0.0)
_NETWORK_DIGIT = (0.002, 0.0)
_GPU_DIGIT = (0.0, 0.1)
_BASES = ("local", "semantic")


@dataclass(frozen=True)
class Expected:
    """What a row of the table must say."""

    latency_s: float
    deviation_s: float | None
    up_bytes: float
    down_bytes: float
    gpu_percent: float | None


def published(
    table: str,
    labels: Mapping[str, str],
    summary: Sequence[SummaryRow],
    comparisons: Sequence[ComparisonRow],
    runs: Sequence[RunEvidence],
) -> Iterator[Finding]:
    """Check the Markdown table, the unrounded rows behind it, and the ratios between modes.

    Args:
        labels: names of the modes in the table, in its order.
    """
    lines = [line for line in table.splitlines() if line.startswith("|")][2:]
    expected = {
        (phase, mode): _expected(phase, [run for run in runs if run.mode == mode])
        for phase in MEASURED_PHASES
        for mode in labels
    }
    if len(lines) != len(expected):
        yield Finding(Check.PUBLISHED, "table.md", f"{len(lines)} rows instead of {len(expected)}")
        return
    for line, ((phase, mode), values) in zip(lines, expected.items(), strict=True):
        yield from _row(line, phase, labels[mode], values)
    summarised = {(row.phase, row.mode): row for row in summary}
    for (phase, mode), values in expected.items():
        where = f"summary.csv, {phase} of {mode}"
        if (phase, mode) in summarised:
            yield from _unrounded(summarised[phase, mode], values, where)
        else:
            yield Finding(Check.PUBLISHED, where, "there is no such row")
    yield from _ratios(comparisons, expected)


def _expected(phase: str, runs: Sequence[RunEvidence]) -> Expected:
    phases = [_phase(run.record, phase) for run in runs]
    latencies_s = [each.latency_s for each in phases]
    busy = [each.kernel_s / each.latency_s for each in phases if each.kernel_s is not None]
    return Expected(
        latency_s=fmean(latencies_s),
        deviation_s=stdev(latencies_s) if len(latencies_s) > 1 else None,
        up_bytes=fmean(_counted(run.traffic, phase, "up") for run in runs),
        down_bytes=fmean(_counted(run.traffic, phase, "down") for run in runs),
        gpu_percent=100 * fmean(busy) if len(busy) == len(phases) else None,
    )


def _phase(record: RunRecord, name: str) -> PhaseRecord:
    return next(phase for phase in record.phases if phase.name == name)


def _counted(traffic: Sequence[TrafficRow], phase: str, direction: str) -> int:
    (row,) = [row for row in traffic if (row.phase, row.direction) == (phase, direction)]
    return row.payload_bytes


def _row(line: str, phase: str, label: str, expected: Expected) -> Iterator[Finding]:
    where = f"table.md, {phase} of {label}"
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    if len(cells) != _COLUMNS or cells[:2] != [phase.capitalize(), label]:
        yield Finding(Check.PUBLISHED, where, f"the row reads '{line}'")
        return
    mean, _, beside_mean = cells[2].partition(" ± ")
    moved_gb = (expected.up_bytes + expected.down_bytes) / _BYTES_PER_GB
    beside_mean = beside_mean or _ABSENT
    for name, cell, value, digit in (
        ("latency", mean, expected.latency_s, _LATENCY_DIGIT),
        ("deviation", cells[5], expected.deviation_s, _DEVIATION_DIGIT),
        ("deviation beside the mean", beside_mean, expected.deviation_s, _DEVIATION_DIGIT),
        ("network bytes", cells[3], moved_gb, _NETWORK_DIGIT),
        ("GPU utilisation", cells[4], expected.gpu_percent, _GPU_DIGIT),
    ):
        if not _shows(cell, value, *digit):
            yield Finding(Check.PUBLISHED, where, f"the {name} reads '{cell}', it is {value}")


def _shows(cell: str, value: float | None, digit_share: float, fine_digit: float) -> bool:
    """Whether a cell is the value, rounded at a last digit that is fine enough to show it."""
    if value is None or cell == _ABSENT:
        return value is None and cell == _ABSENT
    try:
        shown = Decimal(cell)
    except InvalidOperation:
        return False
    if not shown.is_finite() or not math.isfinite(value):
        return False
    if float(shown) == value:
        return True
    last_digit = float(Decimal((0, (1,), int(shown.as_tuple().exponent))))
    is_fine = last_digit <= max(digit_share * abs(value), fine_digit)
    return is_fine and abs(float(shown) - value) <= _ROUNDING * last_digit


def _unrounded(row: SummaryRow, expected: Expected, where: str) -> Iterator[Finding]:
    for column, value in (
        ("latency_mean_s", expected.latency_s),
        ("latency_std_s", expected.deviation_s),
        ("network_up_mean_bytes", expected.up_bytes),
        ("network_down_mean_bytes", expected.down_bytes),
        ("network_mean_bytes", expected.up_bytes + expected.down_bytes),
        ("gpu_kernel_mean_percent", expected.gpu_percent),
    ):
        found = getattr(row, column)
        if not _same(found, value):
            yield Finding(Check.PUBLISHED, where, f"{column} is {found}, not {value}")
    yield from _not_numbers(row, where)


def _ratios(
    comparisons: Sequence[ComparisonRow], expected: Mapping[tuple[str, str], Expected]
) -> Iterator[Finding]:
    compared = {(row.phase, row.mode, row.base): row for row in comparisons}
    for phase, mode in expected:
        for base in _BASES:
            if base == mode or (phase, base) not in expected:
                continue
            where = f"comparisons.csv, {phase} of {mode} to {base}"
            row = compared.get((phase, mode, base))
            if row is None:
                yield Finding(Check.PUBLISHED, where, "there is no such row")
                continue
            ratio = expected[phase, mode].latency_s / expected[phase, base].latency_s
            if not _same(row.ratio, ratio):
                yield Finding(Check.PUBLISHED, where, f"the ratio is {row.ratio}, not {ratio}")
            yield from _not_numbers(row, where)


def _not_numbers(row: SummaryRow | ComparisonRow, where: str) -> Iterator[Finding]:
    for name in row.__struct_fields__:
        value = getattr(row, name)
        if isinstance(value, float) and not math.isfinite(value):
            yield Finding(Check.PUBLISHED, where, f"{name} is {value}")


def _same(found: float | None, value: float | None) -> bool:
    if found is None or value is None:
        return found is value
    return math.isclose(found, value, rel_tol=_RELATIVE)
