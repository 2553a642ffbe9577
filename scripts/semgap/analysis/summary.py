"""From runs to one row for each phase and mode."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import pandas as pd

from semgap.analysis.traffic import (
    DOWN,
    UP,
    TrafficRow,
    tensor_bytes_down,
    tensor_bytes_up,
)
from semgap.analysis.utilisation import UtilisationRow
from semgap.measurement.run_record import RunRecord


@dataclass(frozen=True)
class MeasuredRun:
    """A run and what the parsers made of its raw data."""

    record: RunRecord
    traffic: Sequence[TrafficRow]
    utilisation: Sequence[UtilisationRow]


class RepeatRow(msgspec.Struct, frozen=True):
    """One phase of one repeat of one mode.

    Attributes:
        run_order: position in the order in which the runs really started, from 1.
        latency_per_step_s: latency ÷ number of steps (decode: per token).
        network_source: where the network bytes come from (tcpdump, transport, in process).
        network_bytes: TCP payload of both directions, each byte once.
    """

    phase: str
    mode: str
    repeat: int
    run_order: int
    steps: int
    latency_s: float
    latency_per_step_s: float
    serialise_s: float
    send_s: float
    queue_s: float
    worker_s: float
    compute_s: float
    receive_s: float
    network_source: str
    network_bytes: int
    network_up_bytes: int
    network_down_bytes: int
    network_retransmitted_bytes: int | None
    network_frame_bytes: int | None
    tensor_up_bytes: int
    tensor_down_bytes: int
    gpu_kernel_percent: float | None
    gpu_nvml_percent: float | None
    worker_cpu_percent: float


class SummaryRow(msgspec.Struct, frozen=True):
    """One phase of one mode over its repeats.

    Attributes:
        n: number of repeats.
        latency_std_s: sample standard deviation (n−1); empty for one repeat.
        network_source: where the bytes come from, by repeats where they differ; bytes that were
            counted in different ways are not averaged.
    """

    phase: str
    mode: str
    n: int
    latency_mean_s: float
    latency_std_s: float | None
    latency_per_step_mean_s: float
    serialise_mean_s: float
    send_mean_s: float
    queue_mean_s: float
    worker_mean_s: float
    compute_mean_s: float
    receive_mean_s: float
    network_source: str
    network_mean_bytes: float | None
    network_up_mean_bytes: float | None
    network_down_mean_bytes: float | None
    network_retransmitted_mean_bytes: float | None
    network_frame_mean_bytes: float | None
    tensor_up_mean_bytes: float
    tensor_down_mean_bytes: float
    gpu_kernel_mean_percent: float | None
    gpu_nvml_mean_percent: float | None
    worker_cpu_mean_percent: float


def repeat_rows(runs: Sequence[MeasuredRun]) -> list[RepeatRow]:
    """One row for each phase of each run, in the order in which they were run."""
    ordered = sorted(runs, key=lambda run: run.record.started_unix_ns)
    return [row for order, run in enumerate(ordered, start=1) for row in _rows_of(run, order)]


def _rows_of(run: MeasuredRun, run_order: int) -> Iterable[RepeatRow]:
    traffic = {(row.phase, row.direction): row for row in run.traffic}
    utilisation = {row.phase: row for row in run.utilisation}
    for phase in run.record.phases:
        up, down = traffic[phase.name, UP], traffic[phase.name, DOWN]
        busy = utilisation[phase.name]
        yield RepeatRow(
            phase=phase.name,
            mode=run.record.mode,
            repeat=run.record.repeat,
            run_order=run_order,
            steps=len(phase.steps),
            latency_s=phase.latency_s,
            latency_per_step_s=phase.latency_s / max(1, len(phase.steps)),
            serialise_s=sum(step.serialise_s for step in phase.steps),
            send_s=sum(step.send_s for step in phase.steps),
            queue_s=sum(step.queue_s for step in phase.steps),
            worker_s=sum(step.worker_s for step in phase.steps),
            compute_s=sum(step.compute_s for step in phase.steps),
            receive_s=sum(step.receive_s for step in phase.steps),
            network_source=up.source,
            network_bytes=up.payload_bytes + down.payload_bytes,
            network_up_bytes=up.payload_bytes,
            network_down_bytes=down.payload_bytes,
            network_retransmitted_bytes=_sum_if_measured(
                up.retransmitted_bytes, down.retransmitted_bytes
            ),
            network_frame_bytes=_sum_if_measured(up.frame_bytes, down.frame_bytes),
            tensor_up_bytes=tensor_bytes_up(phase.steps),
            tensor_down_bytes=tensor_bytes_down(phase.steps),
            gpu_kernel_percent=busy.gpu_kernel_percent,
            gpu_nvml_percent=busy.gpu_nvml_percent,
            worker_cpu_percent=busy.worker_cpu_percent,
        )


def _sum_if_measured(up: int | None, down: int | None) -> int | None:
    return None if up is None or down is None else up + down


def summarise(rows: Sequence[RepeatRow]) -> list[SummaryRow]:
    """Means over repeats, and the sample standard deviation of the latency."""
    frame = pd.DataFrame([msgspec.structs.asdict(row) for row in rows])
    return [
        _summary_of(str(phase), str(mode), group)
        for (phase, mode), group in frame.groupby(["phase", "mode"], sort=False)
    ]


def _summary_of(phase: str, mode: str, group: pd.DataFrame) -> SummaryRow:
    means = group.mean(numeric_only=True)

    def mean(column: str) -> float:
        return float(means[column])

    def mean_if_measured(column: str) -> float | None:
        values = pd.to_numeric(group[column])
        return None if values.isna().any() else float(values.mean())

    def mean_if_comparable(column: str) -> float | None:
        return mean(column) if group["network_source"].nunique() == 1 else None

    return SummaryRow(
        phase=phase,
        mode=mode,
        n=len(group),
        latency_mean_s=mean("latency_s"),
        latency_std_s=float(group["latency_s"].std(ddof=1)) if len(group) > 1 else None,
        latency_per_step_mean_s=mean("latency_per_step_s"),
        serialise_mean_s=mean("serialise_s"),
        send_mean_s=mean("send_s"),
        queue_mean_s=mean("queue_s"),
        worker_mean_s=mean("worker_s"),
        compute_mean_s=mean("compute_s"),
        receive_mean_s=mean("receive_s"),
        network_source=_sources(group),
        network_mean_bytes=mean_if_comparable("network_bytes"),
        network_up_mean_bytes=mean_if_comparable("network_up_bytes"),
        network_down_mean_bytes=mean_if_comparable("network_down_bytes"),
        network_retransmitted_mean_bytes=mean_if_measured("network_retransmitted_bytes"),
        network_frame_mean_bytes=mean_if_measured("network_frame_bytes"),
        tensor_up_mean_bytes=mean("tensor_up_bytes"),
        tensor_down_mean_bytes=mean("tensor_down_bytes"),
        gpu_kernel_mean_percent=mean_if_measured("gpu_kernel_percent"),
        gpu_nvml_mean_percent=mean_if_measured("gpu_nvml_percent"),
        worker_cpu_mean_percent=mean("worker_cpu_percent"),
    )


def _sources(group: pd.DataFrame) -> str:
    repeats = group.groupby("network_source")["repeat"].apply(list)
    if len(repeats) == 1:
        return str(repeats.index[0])
    return "; ".join(
        f"{source} in repeat {', '.join(map(str, sorted(which)))}"
        for source, which in repeats.items()
    )
