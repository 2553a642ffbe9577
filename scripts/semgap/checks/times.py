"""Latency that adds up, clocks that agree, and processor time that fits both."""

from __future__ import annotations

from collections.abc import Iterator

from semgap.checks.catalogue import Check, Finding
from semgap.checks.evidence import Evidence, RunEvidence
from semgap.phases import MEASURED_PHASES
from semgap.records import PhaseRecord
from semgap.spans import spans_of

# Parts that leave out more of the whole than this share are reported; the table is not built once
# it is more than the slack too, which a busy machine can take between two steps.
PARTS_SHARE = 0.02
PARTS_SLACK_S = 0.1

# A span lies between time stamps of two processes, each a little later than what it marks.
_SPAN_SLACK_S = 1e-4
# An NTP client slews the clock by at most 500 ppm (RFC 5905).
_CLOCK_SLACK_S = 0.005
_CLOCK_SLEW = 500e-6

# The clocks of processors, of the GPU and of time itself are read one after the other.
_DEVICE_CLOCK_SHARE = 0.1
_DEVICE_CLOCK_SLACK_S = 0.002
# Beside the threads that compute, one that receives or waits may be at work.
_OTHER_THREADS = 1
# A pass on a busy machine waits for a core; one that does nothing for nine tenths of its time is
# no pass.
_LEAST_BUSY_SHARE = 0.1
_IDLE_SLACK_S = 0.1


def parts_add_up(evidence: Evidence) -> Iterator[Finding]:
    """Phases consist of their steps, steps of their spans, and a handler's time of its pass."""
    for _, phase, where in _measured(evidence):
        beside_passes_s = sum(step.worker_s - step.compute_s for step in phase.steps)
        unexplained = {**unexplained_s(phase), "its handlers beyond their passes": beside_passes_s}
        for whole, left_out_s in unexplained.items():
            if abs(left_out_s) > PARTS_SHARE * phase.latency_s + PARTS_SLACK_S:
                yield Finding(Check.PARTS_ADD_UP, where, _left_out(phase, whole, left_out_s))


def parts_warnings(run: RunEvidence) -> Iterator[str]:
    """What is to be reported of a run although it does not stand in the table's way."""
    for phase in run.record.phases:
        if phase.name not in MEASURED_PHASES:
            continue
        for whole, left_out_s in unexplained_s(phase).items():
            if abs(left_out_s) > PARTS_SHARE * phase.latency_s:
                yield f"{phase.name}: {_left_out(phase, whole, left_out_s)}."


def unexplained_s(phase: PhaseRecord) -> dict[str, float]:
    """By how much wholes exceed the sums of their parts, in seconds, by the name of the whole."""
    steps = phase.steps
    return {
        "the phase beyond its steps": phase.latency_s
        - sum(step.latency_s + step.choose_s for step in steps),
        "its steps beyond their spans": sum(
            step.latency_s - sum(spans_of(step).values()) for step in steps
        ),
    }


def clocks(evidence: Evidence) -> Iterator[Finding]:
    """No time runs backwards, and the wall clock advanced as the monotonic clock did."""
    for run in evidence.runs:
        uncertainty_s = _SPAN_SLACK_S + _offset_uncertainty_s(run)
        end_unix_ns = run.record.started_unix_ns
        for phase in run.record.phases:
            where = f"{run.name}, {phase.name}"
            if phase.begin_unix_ns < end_unix_ns:
                yield Finding(Check.CLOCKS, where, "began before what comes before it had ended")
            end_unix_ns = phase.end_unix_ns
            yield from _clock_step(phase, where)
            for number, step in enumerate(phase.steps, start=1):
                for span, duration_s in spans_of(step).items():
                    if duration_s < -uncertainty_s:
                        negative = f"the span '{span}' lasted {duration_s * 1e3:.3f} ms"
                        yield Finding(Check.CLOCKS, f"{where} step {number}", negative)


def compute_clock(evidence: Evidence) -> Iterator[Finding]:
    """A pass took as long as processors and GPU worked for it, and they did work."""
    for run, phase, where in _measured(evidence):
        compute_s = sum(step.compute_s for step in phase.steps)
        cpu_s, kernel_s = sum(step.compute_cpu_s for step in phase.steps), phase.kernel_s or 0.0
        threads = run.record.compute_threads + _OTHER_THREADS
        for what, worked_s, at_once in (
            ("processor time", cpu_s, threads),
            ("time of GPU kernels", kernel_s, 1),
        ):
            possible_s = at_once * compute_s * (1 + _DEVICE_CLOCK_SHARE) + _DEVICE_CLOCK_SLACK_S
            if worked_s > possible_s:
                yield Finding(
                    Check.COMPUTE_CLOCK,
                    where,
                    f"{worked_s:.3f} s of {what} in passes said to take {compute_s:.3f} s",
                )
        busy_s = max(cpu_s, kernel_s)
        if busy_s < _LEAST_BUSY_SHARE * (compute_s - _IDLE_SLACK_S):
            yield Finding(
                Check.COMPUTE_CLOCK,
                where,
                f"passes said to take {compute_s:.3f} s, of which nothing worked for more than "
                f"{busy_s:.3f} s",
            )


def utilisation(evidence: Evidence) -> Iterator[Finding]:
    """The meters of utilisation read something, and no less than what was done."""
    for run, phase, where in _measured(evidence):
        in_passes_s = sum(step.compute_cpu_s for step in phase.steps)
        least_s = in_passes_s * (1 - _DEVICE_CLOCK_SHARE) - _DEVICE_CLOCK_SLACK_S
        if phase.worker_cpu_s <= 0 or phase.worker_cpu_s < least_s:
            yield Finding(
                Check.UTILISATION,
                where,
                f"{phase.worker_cpu_s:.3f} s of the worker's processor time, {in_passes_s:.3f} s "
                "in its passes alone",
            )
        if run.record.host.gpu and not (phase.kernel_s or 0.0) > 0:
            yield Finding(Check.UTILISATION, where, "no GPU kernel was seen on a GPU that computed")


def _measured(evidence: Evidence) -> Iterator[tuple[RunEvidence, PhaseRecord, str]]:
    for run in evidence.runs:
        for phase in run.record.phases:
            if phase.name in MEASURED_PHASES:
                yield run, phase, f"{run.name}, {phase.name}"


def _left_out(phase: PhaseRecord, whole: str, left_out_s: float) -> str:
    return (
        f"{left_out_s * 1e3:.1f} ms of {phase.latency_s * 1e3:.1f} ms are not in the parts "
        f"({whole})"
    )


def _offset_uncertainty_s(run: RunEvidence) -> float:
    """How far a span may be wrong for the clocks' offset; 0 where both clocks are one."""
    measured = run.record.clocks
    if measured.client_boot_id == measured.worker_boot_id:
        return 0.0
    drift_ns = abs(measured.after.offset_ns - measured.before.offset_ns)
    return (measured.before.uncertainty_ns + measured.after.uncertainty_ns + drift_ns) / 1e9


def _clock_step(phase: PhaseRecord, where: str) -> Iterator[Finding]:
    wall_s = (phase.end_unix_ns - phase.begin_unix_ns) / 1e9
    monotonic_s = (phase.end_ns - phase.begin_ns) / 1e9
    if abs(wall_s - monotonic_s) > _CLOCK_SLACK_S + _CLOCK_SLEW * monotonic_s:
        lengths = f"{wall_s:.3f} s long by the wall clock, {monotonic_s:.3f} s by the monotonic one"
        yield Finding(Check.CLOCKS, where, lengths)
    if not 0 < phase.latency_s <= monotonic_s + _CLOCK_SLACK_S:
        outside = f"a latency of {phase.latency_s:.3f} s in a window of {monotonic_s:.3f} s"
        yield Finding(Check.CLOCKS, where, outside)
