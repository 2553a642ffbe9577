"""Checks before publication: each run matches its file and does not contradict itself.

The runs' answers are compared in ``semgap.analysis.correctness``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec

from semgap.analysis.expectation import Expectation, ExpectedRun
from semgap.analysis.run_order import overlapping
from semgap.analysis.traffic import TrafficRow
from semgap.errors import MeasurementError
from semgap.measurement.run_record import PhaseRecord, RunRecord
from semgap.model.manifest import Manifest
from semgap.model.prompt import Prompt, prompt_digest
from semgap.plumbing.files import digest_of

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


@dataclass(frozen=True)
class RunFiles:
    """A run's record and the files that belong to it."""

    record: RunRecord
    record_file: Path
    logits_file: Path
    capture_file: Path
    traffic: Sequence[TrafficRow]


def check_belonging(
    expectation: Expectation, manifest: Manifest, prompt: Prompt, runs: Sequence[RunFiles]
) -> None:
    """Check that the runs belong to the configuration and that each has its own job.

    Raises:
        MeasurementError: names the file that is something else than it should be.
    """
    _check_model(expectation, manifest)
    if (len(prompt.token_ids), prompt.seed) != (expectation.prompt_tokens, expectation.prompt_seed):
        raise MeasurementError(
            f"The prompt was chosen for {len(prompt.token_ids)} tokens and seed {prompt.seed}; the "
            f"configuration says {expectation.prompt_tokens} and {expectation.prompt_seed}.",
            _measure_all(expectation),
        )
    _check_settings(expectation, manifest, prompt, runs)
    sessions: dict[str, RunFiles] = {}
    for run in runs:
        for file, digest in (
            (run.logits_file, run.record.logits_sha256),
            (run.capture_file, run.record.capture_sha256),
        ):
            if digest_of(file) != digest:
                raise MeasurementError(
                    f"'{file}' is not the file that was written with '{run.record_file}': it was "
                    "changed or replaced after the measurement.",
                    _remedy(file),
                )
        other = sessions.setdefault(run.record.session_id, run)
        if other is not run:
            raise MeasurementError(
                f"'{other.record_file}' and '{run.record_file}' are of one session: one is a copy.",
                f"Delete the copy's files, or both '{other.record_file}' and '{run.record_file}', "
                "and run again: what is missing is measured again.",
            )


def check_consistency(runs: Sequence[RunFiles]) -> None:
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
                f"'{run.record_file}' contradicts itself: {what}.", _remedy(run.record_file)
            )


def _check_model(expectation: Expectation, manifest: Manifest) -> None:
    model = expectation.model
    for what, found, wanted in (
        ("name", manifest.name, model.name),
        ("origin", manifest.origin, model.origin),
        ("dtype", manifest.dtype, model.dtype),
        ("folder of weights", manifest.weights_id, expectation.weights_id),
    ):
        if found != wanted:
            raise MeasurementError(
                f"The model that was described has the {what} '{found}'; this configuration says "
                f"'{wanted}'.",
                _measure_all(expectation),
            )


def _check_settings(
    expectation: Expectation, manifest: Manifest, prompt: Prompt, runs: Sequence[RunFiles]
) -> None:
    differing = [
        (run.record_file, what, found, wanted)
        for expected, run in zip(expectation.runs, runs, strict=True)
        for what, found, wanted in _properties(run.record, expected, manifest, prompt)
        if found != wanted
    ]
    if differing:
        file, what, found, wanted = differing[0]
        others = len({other for other, *_ in differing}) - 1
        raise MeasurementError(
            f"'{file}' was measured with {what} {found}; this configuration says {wanted}."
            + (f" {others} more records do not fit it." if others else ""),
            f"Delete the folder '{file.parents[1]}' and run again: all is measured again."
            if others
            else _remedy(file),
        )


def _properties(
    record: RunRecord, expected: ExpectedRun, manifest: Manifest, prompt: Prompt
) -> Iterator[tuple[str, object, object]]:
    yield "mode", record.mode, expected.mode
    yield from _differing(record.settings, expected.settings)
    label = expected.policy.label
    yield from _differing(msgspec.structs.replace(record.policy, label=label), expected.policy)
    yield "transport", record.transport, expected.transport
    yield "model", record.model_fingerprint, manifest.fingerprint
    yield "prompt", record.prompt_sha256, prompt_digest(prompt)


def _differing(
    found: msgspec.Struct, wanted: msgspec.Struct, prefix: str = ""
) -> Iterator[tuple[str, object, object]]:
    """Settings by their key in the configuration."""
    for name in wanted.__struct_fields__:
        one, other = getattr(found, name), getattr(wanted, name)
        if isinstance(other, msgspec.Struct):
            yield from _differing(one, other, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", one, other


def _contradictions(record: RunRecord) -> Iterator[str]:
    workload = record.settings.workload
    steps = {"setup": None, "prefill": 1, "decode": workload.decode_steps}
    names = [phase.name for phase in record.phases]
    if names != list(steps):
        yield f"its phases are {', '.join(names)}"
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


def _measure_both(before: RunRecord, after: RunRecord, runs: Sequence[RunFiles]) -> str:
    files = [f"'{run.record_file}'" for run in runs if run.record in (before, after)]
    return f"Delete {' and '.join(files)}"


def _remedy(file: Path) -> str:
    return f"Delete '{file}' and run again: only that repeat is measured again."


def _measure_all(expectation: Expectation) -> str:
    return (
        f"Delete the folder 'results/{expectation.experiment}' and run again, or choose another "
        "name for the experiment."
    )
