"""Warm-up: the phases as they will be timed, repeated until their latencies settle."""

from collections.abc import Callable, Mapping

import msgspec

from semgap.measurement.job_settings import WorkloadSettings


class Rehearsal(msgspec.Struct, frozen=True):
    """One rehearsal of all timed phases."""

    latencies_s: dict[str, float]  # by phase


def rehearse(
    run_phases: Callable[[], Mapping[str, float]], workload: WorkloadSettings
) -> tuple[Rehearsal, ...]:
    """Rehearse until two rehearsals in a row agree, or as often as the settings allow.

    Args:
        run_phases: runs all timed phases once and returns their latencies in seconds.
    """
    rehearsals: tuple[Rehearsal, ...] = ()
    while len(rehearsals) < workload.rehearsals_at_most and not settled(rehearsals, workload):
        rehearsals += (Rehearsal(dict(run_phases())),)
    return rehearsals


def settled(rehearsals: tuple[Rehearsal, ...], workload: WorkloadSettings) -> bool:
    """Whether each phase took about as long in the last rehearsal as in the one before."""
    if len(rehearsals) < 2:
        return False
    before, last = (rehearsal.latencies_s for rehearsal in rehearsals[-2:])
    return all(
        max(before[name], last[name])
        <= workload.rehearsals_agree_ratio * min(before[name], last[name])
        for name in last
    )
