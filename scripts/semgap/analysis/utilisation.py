"""How busy the worker's device was in each phase of a run."""

from __future__ import annotations

import statistics

import msgspec

from semgap.measurement.run_record import PhaseRecord, RunRecord


class UtilisationRow(msgspec.Struct, frozen=True):
    """Utilisation of one phase.

    Attributes:
        worker_cpu_percent: processor time of the worker ÷ wall time; 100 is one core.
        gpu_kernel_percent: time in GPU kernels, from a pass that is not timed, ÷ wall time; empty
            where a CPU computes.
        gpu_nvml_percent: mean of NVML's samples during the phase; empty where none fell into it.
    """

    phase: str
    worker_cpu_percent: float
    gpu_kernel_percent: float | None
    gpu_nvml_percent: float | None


def utilisation_of_run(record: RunRecord) -> list[UtilisationRow]:
    """Utilisation of each phase."""
    return [_of_phase(phase) for phase in record.phases]


def _of_phase(phase: PhaseRecord) -> UtilisationRow:
    samples = phase.gpu_samples_percent
    return UtilisationRow(
        phase=phase.name,
        worker_cpu_percent=100.0 * phase.worker_cpu_s / phase.latency_s,
        gpu_kernel_percent=(
            None if phase.kernel_s is None else 100.0 * phase.kernel_s / phase.latency_s
        ),
        gpu_nvml_percent=statistics.fmean(samples) if samples else None,
    )
