"""What makes a table's numbers less certain than they look."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import fmean, median

from semgap.analysis.numbers.run_order import apart, of_one_boot
from semgap.analysis.numbers.summary import SummaryRow
from semgap.measurement.run_record import PhaseRecord, RunRecord
from semgap.plumbing.provenance import Machine
from semgap.policy import WorkerPlace

# The run's own tcpdump counts as another process too; it uses a fraction of one core.
_OTHERS_SHARE = 0.25
_DEVIATION_SHARE = 0.10
_FIRST_STEP_RATIO = 1.5
_SPEED_RATIO = 1.35


def warnings(latencies: Sequence[SummaryRow], records: Sequence[RunRecord]) -> list[str]:
    """A sentence for each thing that a reader should know before trusting the numbers.

    Args:
        latencies: of each phase of each mode, in seconds.
    """
    return [*_of_the_machine(records), *_of_the_deviation(latencies), *_of_the_warm_up(records)]


def _of_the_machine(records: Sequence[RunRecord]) -> Iterator[str]:
    busy = {record.name: cores_of_others(record) for record in records}
    worst = max(busy, key=lambda name: busy[name])
    cores = records[0].computed_on.machine.cores
    if busy[worst] > _OTHERS_SHARE * cores:
        yield (
            f"other processes used up to {busy[worst]:.1f} of {cores:g} cores "
            f"during a run ({worst})"
        )
    gpus = [gpu for record in records if (gpu := record.computed_on.provenance.gpu) is not None]
    shared = [
        record.name
        for record in records
        for phase in record.phases
        if phase.readings.get("gpu_state", {}).get("gpu_processes", 1) > 1
    ]
    if shared:
        names = ", ".join(sorted({name for gpu in gpus for name in gpu.processes or ()}))
        yield (
            f"another process was on the GPU during {shared[0]} (seen as the jobs began, the "
            f"worker's among them: {names})"
        )
    yield from _of_the_processors_speed(records)
    yield from _of_throttling(records)
    yield from _of_the_boot(records)
    yield from apart(records)
    if any(gpu.partitioned for gpu in gpus):
        yield (
            "the GPU is partitioned (MIG): clock, energy, NVML's samples and dmon speak of all of "
            "it, and not of the part that computed"
        )


def _of_throttling(records: Sequence[RunRecord]) -> Iterator[str]:
    throttled_s = {
        f"{phase.name} of {record.name}": phase.readings["cpu_throttling"]["cpu_throttled_s"]
        for record in records
        for phase in record.phases
        if phase.name != "setup" and phase.readings.get("cpu_throttling")
    }
    if throttled_s and max(throttled_s.values()) > 0:
        worst = max(throttled_s, key=lambda name: throttled_s[name])
        count = sum(seconds > 0 for seconds in throttled_s.values())
        yield (
            f"the container's processor quota was used up in {count} timed phases, so latency is "
            f"that of the quota: {throttled_s[worst]:.3f} s of {worst} were spent waiting"
        )


def _of_the_boot(records: Sequence[RunRecord]) -> Iterator[str]:
    ordered = sorted(records, key=lambda record: record.started_unix_ns)
    moved = [
        after.name
        for of_one_machine in _by_machine(ordered)
        for before, after in pairwise(of_one_machine)
        if not of_one_boot(before, after)
    ]
    if moved:
        yield (
            "not all runs are of one boot of one machine: it was started anew, slept or had its "
            f"clock set, or another went on, before {'; '.join(moved)}"
        )


def _of_the_processors_speed(records: Sequence[RunRecord]) -> Iterator[str]:
    for of_one_machine in _by_machine(records):
        means_s = {one.name: fmean(loops_s) for one in of_one_machine if (loops_s := _loops_s(one))}
        if not means_s:
            continue
        fast, slow = (choose(means_s, key=lambda name: means_s[name]) for choose in (min, max))
        if means_s[slow] > _SPEED_RATIO * means_s[fast]:
            yield (
                f"the processor's speed changed: beside the timed phases, a fixed loop took "
                f"{1e3 * means_s[fast]:.1f} ms ({fast}) to {1e3 * means_s[slow]:.1f} ms ({slow})"
            )


def _by_machine(records: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """Runs by the machine of the process that measured, in their order."""
    machines: dict[Machine, list[RunRecord]] = {}
    for record in records:
        machines.setdefault(record.machine, []).append(record)
    return list(machines.values())


def _loops_s(record: RunRecord) -> list[float]:
    return [
        phase.readings["processor_speed"]["reference_loop_s"]
        for phase in record.phases
        if phase.name != "setup" and "processor_speed" in phase.readings
    ]


def cores_of_others(record: RunRecord) -> float:
    """Mean number of cores that processes other than client and worker kept busy."""
    others_s = window_s = 0.0
    for phase in record.phases:
        machine = phase.readings["machine_cpu"]
        own_s = phase.readings["client_cpu"]["client_cpu_busy_s"]
        if record.policy.worker is WorkerPlace.SERVER and record.worker_host is None:
            own_s += phase.worker_cpu_s
        others_s += machine["machine_cpu_s"] - own_s
        window_s += machine["machine_window_s"]
    return max(0.0, others_s / window_s)


def _of_the_deviation(latencies: Sequence[SummaryRow]) -> Iterator[str]:
    for row in latencies:
        if row.std is not None and row.std > _DEVIATION_SHARE * row.mean:
            yield (
                f"the standard deviation of {row.mode}'s {row.phase} is "
                f"{100 * row.std / row.mean:.0f} % of its mean"
            )


def _of_the_warm_up(records: Sequence[RunRecord]) -> Iterator[str]:
    for record in records:
        for phase in record.phases:
            if phase.name == "decode" and (ratio := first_step_ratio(phase)) > _FIRST_STEP_RATIO:
                yield (
                    f"{record.name}: the first decode step took {ratio:.1f} times the median of "
                    "the others (more warm-up may be needed)"
                )


def first_step_ratio(phase: PhaseRecord) -> float:
    """Latency of a phase's first step ÷ the median of the others; 1 where there are none."""
    first, *others = (step.latency_s for step in phase.steps)
    return first / median(others) if others else 1.0
