"""The gate for records: none contradicts itself, and runs were made one at a time."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from semgap.analysis.evidence import Run
from semgap.analysis.gates.belonging import measure_again
from semgap.analysis.numbers.run_order import overlapping
from semgap.errors import MeasurementError
from semgap.measurement.run_record import PhaseRecord, RunRecord

# Time of a phase outside its steps, on a machine that may be busy.
_BESIDE_STEPS_SHARE = 0.02
_BESIDE_STEPS_S = 0.1
# The least that a mode takes at one place beside its steps, to choose a token or less, is no matter
# of load: it is about the same in each mode, and short.
_PLACE_RATIO = 3
_PLACE_S = 0.5e-3
_PLACE_AT_MOST_S = 5e-3
# Computing takes processor time, also where several others want the processor.
_COMPUTING_SHARE = 0.2
# A phase's window adds a quiet margin before and after the phase.
_BESIDE_PHASE_S = 0.5
# An NTP client slews the wall clock by at most 500 ppm (RFC 5905); a step is more than that.
_CLOCK_SLEW = 500e-6
_CLOCK_SLACK_S = 0.005
# The time stamps of a span come from two processes.
_SPAN_SLACK_S = 1e-4


def check_consistency(runs: Sequence[Run]) -> None:
    """Check that no record contradicts itself, and that runs were made one at a time.

    Raises:
        MeasurementError: phases, steps or clocks do not fit each other, or runs overlapped.
    """
    for before, after in overlapping([run.record for run in runs]):
        raise MeasurementError(
            f"{after.name} began {before.end_s - after.begin_s:.1f} s before {before.name} had "
            "ended: two measurements at once disturb each other.",
            f"{_measure_both(before, after, runs)} and run again, one job at a time.",
        )
    for run in runs:
        for what in _contradictions(run.record):
            raise MeasurementError(
                f"'{run.record_file}' contradicts itself: {what}.", measure_again(run.record_file)
            )


def check_beside(records: Sequence[RunRecord]) -> None:
    """Check that the time beside the steps is short and about the same in each mode.

    Of each place (before the first step, between two, after the last) the least time counts that a
    mode took in any of its repeats. One repeat is too few to tell a wait from a busy machine. Where
    the worker chooses the token, the client has less to do: such modes are compared by themselves.

    Raises:
        MeasurementError: names mode, phase and place, and both times.
    """
    taken: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for record in records:
        for phase in record.phases[1:]:
            for place, each_s in _beside(phase):
                modes = taken.setdefault((phase.name, place, record.policy.logits), {})
                modes.setdefault(record.mode, []).append(each_s)
    for (phase_name, place, _logits), modes in taken.items():
        least_s = {mode: min(each) for mode, each in modes.items() if len(each) > 1}
        shortest_s = min(least_s.values(), default=0.0)
        allowed_s = min(_PLACE_AT_MOST_S, _PLACE_RATIO * shortest_s + _PLACE_S)
        for mode, found_s in least_s.items():
            if found_s > allowed_s:
                raise MeasurementError(
                    f"In each repeat, the {phase_name} of {mode} spends at least "
                    f"{1e3 * found_s:.3f} ms {place}; the mode that spends least there takes "
                    f"{1e3 * shortest_s:.3f} ms, and {1e3 * allowed_s:.3f} ms are accepted.",
                    "Something waits beside the steps, and counts as latency: look for it in the "
                    "step loop (scripts/semgap/execution/, measurement/phases.py).",
                )


def _beside(phase: PhaseRecord) -> Iterator[tuple[str, float]]:
    """Each time that a phase spent beside its steps, by its place; none without time stamps."""
    steps = [step for step in phase.steps if step.begin_ns]
    if not steps:
        return
    end_s = (steps[-1].begin_ns - phase.begin_ns) / 1e9 + steps[-1].latency_s
    yield "before the first step", (steps[0].begin_ns - phase.begin_ns) / 1e9
    yield "after the last step", phase.latency_s - end_s
    for before, after in pairwise(steps):
        yield "between two steps", (after.begin_ns - before.begin_ns) / 1e9 - before.latency_s


def _contradictions(record: RunRecord) -> Iterator[str]:
    workload = record.settings.workload
    steps = {"setup": None, "prefill": 1, "decode": workload.decode_steps}
    names = [phase.name for phase in record.phases]
    if names != list(steps):
        yield f"its phases are {', '.join(names)}"
    if len(record.token_ids) != 1 + workload.decode_steps:
        yield f"it has {len(record.token_ids)} tokens after {workload.decode_steps} decode steps"
    for before, after in pairwise(record.phases):
        if after.begin_unix_ns < before.end_unix_ns or after.begin_ns < before.end_ns:
            yield f"the phase {after.name} begins before {before.name} has ended"
    for phase in record.phases:
        wanted = steps.get(phase.name)
        if wanted is not None and len(phase.steps) != wanted:
            yield f"the phase {phase.name} has {len(phase.steps)} steps instead of {wanted}"
        yield from (
            f"the phase {phase.name} {what}" for what in _phase_contradictions(phase, record)
        )
        yield from _of_computing(record, phase)


def _of_computing(record: RunRecord, phase: PhaseRecord) -> Iterator[str]:
    for way in phase.computed:
        said = (record.compute_threads, record.settings.worker.device.partition(":")[0])
        if (way.threads, way.device) != said or len(phase.computed) > 1:
            yield (
                f"the phase {phase.name} was computed on {way.device} by {way.threads} threads "
                f"in {way.dtype}, and the run is said to be one on {said[1]} by {said[0]}"
            )
    computed_s = math.fsum(step.compute_s for step in phase.steps)
    if not record.computed_on.machine.gpu and phase.worker_cpu_s < _COMPUTING_SHARE * computed_s:
        yield (
            f"the worker computed for {computed_s:.3f} s in the phase {phase.name}, in which "
            f"its process is said to have used {phase.worker_cpu_s:.3f} s of a processor"
        )


def _phase_contradictions(phase: PhaseRecord, record: RunRecord) -> Iterator[str]:
    wall_s = (phase.end_unix_ns - phase.begin_unix_ns) / 1e9
    window_s = (phase.end_ns - phase.begin_ns) / 1e9
    if abs(wall_s - window_s) > _CLOCK_SLACK_S + _CLOCK_SLEW * window_s:
        yield (
            f"took {wall_s:.3f} s by the wall clock and {window_s:.3f} s by the monotonic one: the "
            "clock was set meanwhile"
        )
    if not 0 <= window_s - phase.latency_s <= _BESIDE_PHASE_S:
        yield f"has a latency of {phase.latency_s:.3f} s in a window of {window_s:.3f} s"
    steps_s = sum(step.latency_s for step in phase.steps)
    beside_s = phase.latency_s - steps_s
    if not 0 <= beside_s <= _BESIDE_STEPS_SHARE * phase.latency_s + _BESIDE_STEPS_S:
        yield f"has a latency of {phase.latency_s:.3f} s, but its steps took {steps_s:.3f} s"
    for place, each_s in _beside(phase):
        if each_s < -_SPAN_SLACK_S:
            yield f"has {1e3 * each_s:.3f} ms {place}"
    for number, step in enumerate(phase.steps, start=1):
        spans_s = step.spans_s.values()
        least_s = -_SPAN_SLACK_S - record.clock_bound_s
        if min(spans_s) < least_s or abs(sum(spans_s) - step.latency_s) > _SPAN_SLACK_S:
            yield f"has a step {number} of {step.latency_s:.6f} s that its spans do not add up to"
        # What is not waited for is computed in any of the client's spans.
        within_s = step.worker_s if step.requests == step.round_trips else step.latency_s
        if not 0 <= step.compute_s <= within_s + _SPAN_SLACK_S:
            yield f"has a step {number} that computed for longer than the worker had it"


def _measure_both(before: RunRecord, after: RunRecord, runs: Sequence[Run]) -> str:
    files = [f"'{run.record_file}'" for run in runs if run.record in (before, after)]
    return f"Delete {' and '.join(files)}"
