"""Whether the latencies were stable: drift over run order, outliers, bimodality.

What is found is reported; no measurement is removed for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from semgap.phases import DECODE, MEASURED_PHASES
from semgap.records import RunRecord
from semgap.stats import Correlation, bimodality_coefficient, drift, modified_z_outliers
from semgap.summary import RepeatRow

# Below these numbers the median and the moments say little about the values around them.
FEWEST_FOR_OUTLIERS = 5
FEWEST_FOR_BIMODALITY = 10


@dataclass(frozen=True)
class PhaseDrift:
    """One phase of all runs: latency ÷ the mean of its mode, against run order.

    Attributes:
        runs: number of runs that were pooled, those of modes with two repeats or more.
        correlation: None where it does not exist.
    """

    phase: str
    runs: int
    correlation: Correlation | None


@dataclass(frozen=True)
class Sample:
    """The repeats of one phase of one mode.

    Attributes:
        outliers: repeats whose latency is an outlier; None where there are too few to look.
    """

    phase: str
    mode: str
    n: int
    outliers: tuple[int, ...] | None


@dataclass(frozen=True)
class StepShape:
    """The distribution of the latencies of all decode steps of one mode.

    Attributes:
        coefficient: the bimodality coefficient; None where there are too few steps or it does
            not exist.
    """

    mode: str
    steps: int
    coefficient: float | None


@dataclass(frozen=True)
class Stability:
    """What was found in the order and in the distribution of the latencies."""

    drifts: tuple[PhaseDrift, ...]
    samples: tuple[Sample, ...]
    shapes: tuple[StepShape, ...]


def stability(
    rows: Sequence[RepeatRow], decode_steps_s: Mapping[str, Sequence[float]]
) -> Stability:
    """Look for drift, outliers and bimodality.

    Args:
        decode_steps_s: the latencies of all decode steps of all repeats, by mode. The bimodality
            coefficient does not depend on their scale, so modes are comparable as they are.
    """
    return Stability(
        drifts=tuple(_drift(rows, phase) for phase in MEASURED_PHASES),
        samples=tuple(
            _sample(phase, mode, of_mode)
            for phase in MEASURED_PHASES
            for mode, of_mode in _by_mode(rows, phase).items()
        ),
        shapes=tuple(_shape(mode, steps_s) for mode, steps_s in decode_steps_s.items()),
    )


def latencies_of_decode_steps(records: Sequence[RunRecord]) -> dict[str, list[float]]:
    """The latencies of all decode steps in seconds, by mode, in the order of the records."""
    by_mode: dict[str, list[float]] = {}
    for record in records:
        steps = [step for phase in record.phases if phase.name == DECODE for step in phase.steps]
        by_mode.setdefault(record.mode, []).extend(step.latency_s for step in steps)
    return by_mode


def _by_mode(rows: Sequence[RepeatRow], phase: str) -> dict[str, list[RepeatRow]]:
    by_mode: dict[str, list[RepeatRow]] = {}
    for row in rows:
        if row.phase == phase:
            by_mode.setdefault(row.mode, []).append(row)
    return by_mode


def _drift(rows: Sequence[RepeatRow], phase: str) -> PhaseDrift:
    order: list[float] = []
    relative: list[float] = []
    for of_mode in _by_mode(rows, phase).values():
        if len(of_mode) < 2:
            continue
        mean_s = fmean(row.latency_s for row in of_mode)
        order += [row.run_order for row in of_mode]
        relative += [row.latency_s / mean_s for row in of_mode]
    return PhaseDrift(phase, len(order), drift(order, relative))


def _sample(phase: str, mode: str, rows: Sequence[RepeatRow]) -> Sample:
    if len(rows) < FEWEST_FOR_OUTLIERS:
        return Sample(phase, mode, len(rows), None)
    found = modified_z_outliers([row.latency_s for row in rows])
    return Sample(phase, mode, len(rows), tuple(rows[index].repeat for index in found))


def _shape(mode: str, steps_s: Sequence[float]) -> StepShape:
    enough = len(steps_s) >= FEWEST_FOR_BIMODALITY
    return StepShape(mode, len(steps_s), bimodality_coefficient(steps_s) if enough else None)
