"""The phases of a run, and which meters are read around them."""

from collections.abc import Sequence
from itertools import islice

import msgspec

from semgap.execution.executor_contract import Executor
from semgap.execution.generation import generate
from semgap.measurement.phases import ChosenMeters, Phases
from semgap.measurement.run_record import PhaseRecord
from semgap.meters.meter_contract import Host, Span, meters_of

# Steps that a person waits for are reported one by one; for shorter ones that would cost time.
_SLOW_STEP_S = 1.0


def set_up(
    phases: Phases, executor: Executor, prompt: Sequence[int], warmup_decode_steps: int
) -> None:
    """Run setup and warm-up; what the worker keeps of the warm-up is freed."""
    with phases.phase("setup") as steps:
        steps.extend(executor.setup())
    with phases.phase("warmup") as steps:
        steps.extend(islice(generate(executor, prompt), 1 + warmup_decode_steps))
    executor.reset()


def run_generation(
    phases: Phases, executor: Executor, prompt: Sequence[int], decode_steps: int
) -> None:
    """Run prefill and decode."""
    generation = generate(executor, prompt)
    with phases.phase("prefill") as steps:
        steps.append(next(generation))
    with phases.phase("decode") as steps:
        for number, step in enumerate(islice(generation, decode_steps), start=1):
            steps.append(step)
            if step.latency_s > _SLOW_STEP_S:
                phases.say(f"decode step {number} of {decode_steps}")


def timed_meters(has_gpu: bool) -> ChosenMeters:
    """Meters to read around the phases that are timed."""
    return ChosenMeters(
        client=meters_of(Host.CLIENT, Span.PHASE, has_gpu),
        worker=meters_of(Host.WORKER, Span.PHASE, has_gpu),
    )


def slowing_meters(has_gpu: bool) -> ChosenMeters:
    """Meters that slow what they watch, to read when the phases are run again."""
    return ChosenMeters(worker_passes=meters_of(Host.WORKER, Span.PASS, has_gpu))


def with_readings(
    phases: Sequence[PhaseRecord], again: Sequence[PhaseRecord]
) -> tuple[PhaseRecord, ...]:
    """The phases, each with what was read when it was run again."""
    more = {phase.name: phase.readings for phase in again}
    return tuple(
        msgspec.structs.replace(phase, readings={**phase.readings, **more.get(phase.name, {})})
        for phase in phases
    )
