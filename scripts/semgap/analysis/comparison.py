"""Latency of each mode beside ``local`` and beside the framework-level mode, round by round."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from semgap.analysis import statistics
from semgap.analysis.correctness import REFERENCE_MODE
from semgap.analysis.summary import RepeatRow

PROPOSED_MODE = "semantic"
_PHASES = ("prefill", "decode")


class ComparisonRow(msgspec.Struct, frozen=True):
    """One mode's latency in one phase, compared with another mode's; None: cannot be said."""

    phase: str
    mode: str
    baseline: str  # the other mode
    rounds: int  # in which both were measured
    ratio: float  # geometric mean over the rounds of latency ÷ the other's in the same round
    # ratio_low, ratio_high: 95 % interval, BCa bootstrap over the rounds
    ratio_low: float | None
    ratio_high: float | None
    # t_low, t_high: 95 % interval by Student's t of the ratios' logarithms; wider for few rounds
    t_low: float | None
    t_high: float | None
    welch_p: float | None  # two-sided, of all repeats
    permutation_p: float | None  # two-sided, of all repeats; exact up to 10 against 10
    smallest_p: float  # the least that so many repeats can give
    holm_p: float | None  # permutation_p, corrected for all comparisons with the same baseline
    hedges_g: float | None
    # the smallest difference that a t test finds in 4 of 5 cases, ÷ the other mode's mean
    detectable_share: float | None


class DriftRow(msgspec.Struct, frozen=True):
    """Whether a mode's latency follows the order of its repeats, and what stands out."""

    phase: str
    mode: str
    tau: float | None  # Kendall's, of latency and order
    p: float | None
    outliers: str | None  # numbers of the repeats whose modified z-score is above 3.5


def comparisons(rows: Iterable[RepeatRow]) -> list[ComparisonRow]:
    """Compare every mode with each of the two baselines that was measured."""
    latencies = _latencies(rows)
    found: list[ComparisonRow] = []
    for baseline in (REFERENCE_MODE, PROPOSED_MODE):
        raw = list(_compared(latencies, baseline))
        corrected = statistics.holm([row.permutation_p for row in raw])
        found += [
            msgspec.structs.replace(row, holm_p=p) for row, p in zip(raw, corrected, strict=True)
        ]
    return found


def drifts(rows: Iterable[RepeatRow]) -> list[DriftRow]:
    """Drift and outliers of each phase of each mode."""
    found = []
    for (phase, mode), by_repeat in _latencies(rows).items():
        values = list(by_repeat.values())
        tau, p = statistics.drift(values) or (None, None)
        repeats = list(by_repeat)
        far = " ".join(str(repeats[index]) for index in statistics.outliers(values))
        found.append(DriftRow(phase, mode, tau, p, far or None))
    return found


def _latencies(rows: Iterable[RepeatRow]) -> dict[tuple[str, str], dict[int, float]]:
    """Latencies by repeat, in run order, for each phase and mode."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row in sorted(rows, key=lambda row: row.run_order):
        if row.quantity == "latency_s" and row.phase in _PHASES:
            found.setdefault((row.phase, row.mode), {})[row.repeat] = row.value
    return found


def _compared(
    latencies: Mapping[tuple[str, str], Mapping[int, float]], baseline: str
) -> Iterator[ComparisonRow]:
    for (phase, mode), own in latencies.items():
        other = latencies.get((phase, baseline))
        if other is None or mode == baseline:
            continue
        rounds = sorted(own.keys() & other.keys())
        pairs = [own[one] for one in rounds], [other[one] for one in rounds]
        yield _row(phase, mode, baseline, pairs, list(own.values()), list(other.values()))


def _row(
    phase: str,
    mode: str,
    baseline: str,
    pairs: tuple[Sequence[float], Sequence[float]],
    own: Sequence[float],
    other: Sequence[float],
) -> ComparisonRow:
    low, high = statistics.ratio_interval(*pairs) or (None, None)
    t_low, t_high = statistics.ratio_t_interval(*pairs) or (None, None)
    p = statistics.permutation_p(own, other)
    difference = statistics.detectable_difference(own, other)
    return ComparisonRow(
        phase=phase,
        mode=mode,
        baseline=baseline,
        rounds=len(pairs[0]),
        ratio=statistics.mean_ratio(*pairs),
        ratio_low=low,
        ratio_high=high,
        t_low=t_low,
        t_high=t_high,
        welch_p=statistics.welch_p(own, other),
        permutation_p=p,
        smallest_p=statistics.smallest_permutation_p(len(own), len(other)),
        holm_p=p,
        hedges_g=statistics.hedges_g(own, other),
        detectable_share=None if difference is None else difference / (sum(other) / len(other)),
    )
