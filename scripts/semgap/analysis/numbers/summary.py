"""One long table of everything that was measured: a row per number, then its mean over repeats."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean, median

import msgspec
import pandas as pd

from semgap.analysis.numbers.counts import PredictedRow
from semgap.analysis.numbers.traffic import TrafficRow
from semgap.inference.steps import SPANS
from semgap.measurement.run_record import PhaseRecord, RunRecord
from semgap.pcap.turns import DOWN, UP
from semgap.plumbing.statistics import deviation, median_deviation, percentile

# GPU meters that count a window of time as used if any kernel ran in it.
SAMPLING_METERS = ("nvml", "dmon")
_BUSY = "_busy_s"


# A run's record, the traffic that its capture shows, and what must cross.
MeasuredRun = tuple[RunRecord, Sequence[TrafficRow], Sequence[PredictedRow]]


class RepeatRow(msgspec.Struct, frozen=True):
    """One number of one phase of one repeat of one mode."""

    phase: str
    mode: str
    repeat: int
    run_order: int  # position by start time, from 1
    quantity: str  # what the number is; the name ends in its unit
    value: float
    source: str  # the instrument: clock, tensors, tcpdump, …, or a meter's name


class SummaryRow(msgspec.Struct, frozen=True):
    """One quantity of one phase of one mode over its repeats."""

    phase: str
    mode: str
    quantity: str
    n: int  # number of repeats in which it was measured
    mean: float
    std: float | None  # sample standard deviation (n−1); empty for one repeat
    median: float
    mad: float  # median absolute deviation from the median, not scaled
    minimum: float
    maximum: float
    source: str  # the instrument


def repeat_rows(runs: Iterable[MeasuredRun]) -> list[RepeatRow]:
    """All numbers of all runs, in the order in which they were run."""
    ordered = sorted(runs, key=lambda run: run[0].started_unix_ns)
    return [
        RepeatRow(phase.name, record.mode, record.repeat, order, quantity, float(value), source)
        for order, (record, traffic, predicted) in enumerate(ordered, start=1)
        for phase in record.phases
        for source, numbers in _by_source(phase, traffic, predicted)
        for quantity, value in _with_percentages(numbers, phase.latency_s)
    ]


def summarise(rows: Sequence[RepeatRow]) -> list[SummaryRow]:
    """Mean and sample standard deviation of each quantity over the repeats."""
    frame = pd.DataFrame([msgspec.structs.asdict(row) for row in rows])
    groups = frame.groupby(["phase", "mode", "quantity", "source"], sort=False).value
    return [
        _summary(phase, mode, quantity, values.tolist(), source)
        for (phase, mode, quantity, source), values in groups
    ]


def _summary(phase: str, mode: str, quantity: str, values: list[float], source: str) -> SummaryRow:
    return SummaryRow(
        phase,
        mode,
        quantity,
        n=len(values),
        mean=fmean(values),
        std=deviation(values),
        median=median(values),
        mad=median_deviation(values),
        minimum=min(values),
        maximum=max(values),
        source=source,
    )


def _by_source(
    phase: PhaseRecord, traffic: Sequence[TrafficRow], predicted: Sequence[PredictedRow]
) -> Iterator[tuple[str, Mapping[str, float]]]:
    """The numbers of a phase, by the instrument that they are from."""
    steps = phase.steps
    # Exact sums: what `sum` makes of floats depends on the version of Python.
    yield "clock", _token_latencies(phase)
    yield (
        "clock",
        {
            "latency_s": phase.latency_s,
            "latency_per_step_s": phase.latency_s / max(1, len(steps)),
            **{
                name: math.fsum(getattr(step, name) for step in steps)
                for name in (*SPANS, "compute_s")
            },
            "worker_cpu_busy_s": phase.worker_cpu_s,
        },
    )
    yield (
        "tensors",
        {
            "steps": len(steps),
            "tensor_up_bytes": sum(step.total_up_bytes for step in steps),
            "tensor_down_bytes": sum(step.total_down_bytes for step in steps),
        },
    )
    if expected := [row.expected_bytes for row in predicted if row.phase == phase.name]:
        yield "prediction", {"expected_network_bytes": sum(expected)}
    crossed = {row.direction: row for row in traffic if row.phase == phase.name}
    up, down = crossed[UP], crossed[DOWN]
    network = {
        "network_bytes": up.payload_bytes + down.payload_bytes,
        "network_up_bytes": up.payload_bytes,
        "network_down_bytes": down.payload_bytes,
    }
    for name in ("retransmitted_bytes", "frame_bytes"):
        both = (getattr(up, name), getattr(down, name))
        if None not in both:
            network[f"network_{name}"] = sum(both)
    yield up.source, network
    yield from phase.readings.items()
    yield "gpu_energy", _energy(phase)
    yield "difference", _beside_kernel_time(phase)


def _energy(phase: PhaseRecord) -> dict[str, float]:
    """Energy of the GPU for one run of a phase: mean power × latency, both back to back."""
    power_w = phase.readings.get("gpu_energy", {}).get("gpu_power_w")
    if power_w is None:
        return {}
    energy_j = power_w * phase.readings["back_to_back"]["back_to_back_latency_s"]
    return {"gpu_energy_j": energy_j, "gpu_energy_per_token_j": energy_j / len(phase.steps)}


def _beside_kernel_time(phase: PhaseRecord) -> dict[str, float]:
    """Percentage points that NVML's samples and dmon, back to back, read above kernel time."""
    readings = {name: value for one in phase.readings.values() for name, value in one.items()}
    if "gpu_kernel_busy_s" not in readings or "back_to_back" not in phase.readings:
        return {}
    kernel_percent = 100 * readings["gpu_kernel_busy_s"] / phase.latency_s
    return {
        f"gpu_{meter}_above_kernel_points": readings[f"gpu_{meter}_percent"] - kernel_percent
        for meter in SAMPLING_METERS
        if f"gpu_{meter}_percent" in readings
    }


def _token_latencies(phase: PhaseRecord) -> dict[str, float]:
    """Latencies and rate per generated token; docs/terms.md defines them."""
    if phase.name != "decode":
        return {}
    latencies_s = [step.latency_s for step in phase.steps]
    return {
        "step_latency_p50_s": percentile(latencies_s, 50),
        "step_latency_p99_s": percentile(latencies_s, 99),
        "tokens_per_s": len(latencies_s) / phase.latency_s,
    }


def _with_percentages(
    numbers: Mapping[str, float], latency_s: float
) -> Iterator[tuple[str, float]]:
    for name, value in numbers.items():
        yield name, value
        if name.endswith(_BUSY):
            yield f"{name.removesuffix(_BUSY)}_percent", 100 * value / latency_s
