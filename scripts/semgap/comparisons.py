"""Modes against each other: ratios of mean latencies, and tests against ``semantic``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import msgspec

from semgap.phases import MEASURED_PHASES
from semgap.policy import REFERENCE_MODE
from semgap.stats import (
    exact_permutation_p,
    hedges_g,
    holm,
    ratio_interval,
    smallest_permutation_p,
    welch,
)
from semgap.summary import RepeatRow

TESTED_MODE = "semantic"
BASES = (REFERENCE_MODE, TESTED_MODE)


class ComparisonRow(msgspec.Struct, frozen=True):
    """The latency of one phase of one mode against that of a base.

    The tests are made with base ``semantic`` alone. Each kind of test is one family for Holm's
    correction: all its tests of both phases together. A cell is empty where the repeats do not
    determine it.

    Attributes:
        n, n_base: number of repeats of the mode and of the base.
        ratio: mean latency of the mode ÷ mean latency of the base.
        ratio_ci_low, ratio_ci_high: Fieller's 95 % interval of the ratio; empty where it is
            unbounded or a side has one repeat.
        welch_t: positive where the mode is slower than the base.
        smallest_permutation_p: the smallest p that the exact permutation test can give for these n.
        hedges_g: difference of means (mode − base) in pooled standard deviations.
    """

    phase: str
    mode: str
    base: str
    n: int
    n_base: int
    ratio: float
    ratio_ci_low: float | None
    ratio_ci_high: float | None
    welch_t: float | None = None
    welch_df: float | None = None
    welch_p: float | None = None
    welch_p_holm: float | None = None
    permutation_p: float | None = None
    permutation_p_holm: float | None = None
    smallest_permutation_p: float | None = None
    hedges_g: float | None = None


def compare(rows: Sequence[RepeatRow]) -> list[ComparisonRow]:
    """Each mode against each base that was run, phase by phase, modes in order of appearance."""
    compared = [
        row for phase in MEASURED_PHASES for row in _of_phase(phase, latencies_by_mode(rows, phase))
    ]
    welch_p = holm([row.welch_p for row in compared])
    permutation_p = holm([row.permutation_p for row in compared])
    return [
        msgspec.structs.replace(row, welch_p_holm=of_welch, permutation_p_holm=of_permutation)
        for row, of_welch, of_permutation in zip(compared, welch_p, permutation_p, strict=True)
    ]


def latencies_by_mode(rows: Sequence[RepeatRow], phase: str) -> dict[str, list[float]]:
    """The latencies of one phase in seconds, by mode, both in order of appearance."""
    by_mode: dict[str, list[float]] = {}
    for row in rows:
        if row.phase == phase:
            by_mode.setdefault(row.mode, []).append(row.latency_s)
    return by_mode


def _of_phase(phase: str, by_mode: Mapping[str, Sequence[float]]) -> list[ComparisonRow]:
    compared = []
    for mode, own in by_mode.items():
        for base in BASES:
            if base == mode or base not in by_mode:
                continue
            row = _ratio(phase, mode, base, own, by_mode[base])
            compared.append(_tested(row, own, by_mode[base]) if base == TESTED_MODE else row)
    return compared


def _ratio(
    phase: str, mode: str, base: str, own: Sequence[float], others: Sequence[float]
) -> ComparisonRow:
    interval = ratio_interval(own, others)
    return ComparisonRow(
        phase=phase,
        mode=mode,
        base=base,
        n=len(own),
        n_base=len(others),
        ratio=fmean(own) / fmean(others),
        ratio_ci_low=None if interval is None else interval.low,
        ratio_ci_high=None if interval is None else interval.high,
    )


def _tested(row: ComparisonRow, own: Sequence[float], others: Sequence[float]) -> ComparisonRow:
    test = welch(own, others)
    return msgspec.structs.replace(
        row,
        welch_t=None if test is None else test.t,
        welch_df=None if test is None else test.df,
        welch_p=None if test is None else test.p,
        permutation_p=exact_permutation_p(own, others),
        smallest_permutation_p=smallest_permutation_p(len(own), len(others)),
        hedges_g=hedges_g(own, others),
    )
