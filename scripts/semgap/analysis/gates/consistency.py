"""The gate for records: none contradicts itself, and runs were made one at a time."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from semgap.analysis.evidence import Run
from semgap.analysis.gates.belonging import measure_again
from semgap.analysis.numbers.run_order import overlapping
from semgap.errors import MeasurementError
from semgap.measurement.run_record import PhaseRecord, RunRecord

# Time of a phase outside its steps: choosing a token, on a machine that may be busy.
_BESIDE_STEPS_SHARE = 0.02
_BESIDE_STEPS_S = 0.1
# A phase's window adds a quiet margin before and after the phase.
_BESIDE_PHASE_S = 0.5
# An NTP client slews the wall clock by at most 500 ppm (RFC 5905); a step is more than that.
_CLOCK_SLEW = 500e-6
_CLOCK_SLACK_S = 0.005
# The time stamps of a span come from two processes of one machine.
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
        yield from (f"the phase {phase.name} {what}" for what in _phase_contradictions(phase))


def _phase_contradictions(phase: PhaseRecord) -> Iterator[str]:
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
    for number, step in enumerate(phase.steps, start=1):
        spans_s = step.spans_s.values()
        if min(spans_s) < -_SPAN_SLACK_S or abs(sum(spans_s) - step.latency_s) > _SPAN_SLACK_S:
            yield f"has a step {number} of {step.latency_s:.6f} s that its spans do not add up to"
        if not 0 <= step.compute_s <= step.worker_s + _SPAN_SLACK_S:
            yield f"has a step {number} that computed for longer than the worker had it"


def _measure_both(before: RunRecord, after: RunRecord, runs: Sequence[Run]) -> str:
    files = [f"'{run.record_file}'" for run in runs if run.record in (before, after)]
    return f"Delete {' and '.join(files)}"
