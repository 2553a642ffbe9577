"""The gate before the table: every repeat of every mode computed what ``local`` computed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semgap.analysis.numbers.comparison import BASELINE_MODE
from semgap.errors import CorrectnessError, MeasurementError
from semgap.measurement.run_record import RunRecord
from semgap.protocol import Computed

_REMEDY = (
    "Nothing is published from it. Delete that run's file to measure it again; if it happens "
    "again, the mode is not what it claims to be."
)


@dataclass(frozen=True)
class RunResult:
    """A run and the logits it recorded."""

    record: RunRecord
    logits: np.ndarray  # float32, shape (steps, vocabulary)


def check_correctness(results: Sequence[RunResult]) -> None:
    """Compare every run with ``local``: with its repeat that most runs agree with.

    Raises:
        CorrectnessError: tokens differ, or a logit differs by more than the policy row tolerates.
    """
    of_local = [result for result in results if result.record.mode == BASELINE_MODE]
    of_local.sort(key=lambda result: result.record.repeat)
    baseline = max(
        of_local, key=lambda one: sum(difference_of(each, one) is None for each in results)
    )
    others = [result for result in results if result.record.mode != BASELINE_MODE]
    if len({other.record.mode for other in others}) > 1 and all(
        difference_of(other, baseline) and not difference_of(other, others[0]) for other in others
    ):
        raise CorrectnessError(
            f"All other modes agree with each other, and none with {baseline.record.name}.",
            "Nothing is published from it. Delete the runs of local to measure them again; if it "
            "happens again, the policies are not what they claim to be.",
        )
    for result in results:
        difference = difference_of(result, baseline)
        if difference is not None:
            raise CorrectnessError(f"{result.record.name}{difference}.", _REMEDY)


def check_expected(results: Sequence[RunResult], expected: np.ndarray, tolerance: float) -> None:
    """Compare every run with transformers' own passes over the same weights and prompt.

    Where rounding decides between two tokens, what follows is not compared.

    Args:
        expected: logits of those passes, float32, shape (steps, vocabulary).
        tolerance: the largest difference of a logit by rounding; a policy's own comes on top.

    Raises:
        CorrectnessError: a logit or a token differs by more than rounding.
    """
    for result in results:
        accepted = tolerance + result.record.policy.logit_tolerance
        for step, (found, of_transformers) in enumerate(zip(result.logits, expected, strict=True)):
            difference = float(np.max(np.abs(found - of_transformers)))
            token_id, best = result.record.token_ids[step], int(of_transformers.argmax())
            if token_id != int(found.argmax()):
                raise CorrectnessError(
                    f"{result.record.name}, step {step}: token {token_id} was chosen, and its own "
                    f"logits give {int(found.argmax())}.",
                    _REMEDY,
                )
            margin = float(of_transformers[best] - of_transformers[token_id])
            if not (difference <= accepted and margin <= 2 * accepted):
                raise CorrectnessError(
                    f"{result.record.name}, step {step}: token {token_id}, where transformers' own "
                    f"pass over the stored weights gives {best}; a logit differs by "
                    f"{difference:.3g}, and {accepted:.3g} is accepted.",
                    "All modes may agree and be wrong alike: what computed is not the described "
                    "model, or not on this prompt. Delete the experiment's folder and run again; "
                    "if it happens again, the engine is not what it claims to be.",
                )
            if token_id != best:
                break


def check_same_setup(records: Sequence[RunRecord]) -> None:
    """Check that runs that are compared were made in one way.

    Raises:
        MeasurementError: they were made on different machines or GPUs or by different versions.
    """
    baseline = next(record for record in records if record.mode == BASELINE_MODE)
    for record in records:
        _check_setup(record, baseline)


def _check_setup(record: RunRecord, baseline: RunRecord) -> None:
    for what, found, expected in (
        ("number of compute threads", record.compute_threads, baseline.compute_threads),
        ("versions", record.versions, baseline.versions),
        ("machine", record.computed_on.machine, baseline.computed_on.machine),
        ("GPU", _gpu_of(record), _gpu_of(baseline)),
        ("way to compute", _computed(record), _computed(baseline)),
        ("way to count bytes", _counted(record), _counted(baseline)),
    ):
        if found != expected:
            raise MeasurementError(
                f"{record.name} was measured with another {what} than {baseline.name}: {found} "
                f"instead of {expected}.",
                "Results of different set-ups do not mix: delete the experiment's runs/ folder "
                "and measure all of them again. A cluster may have chosen another node: "
                "docs/cluster.md says how to ask for one.",
            )


def _gpu_of(record: RunRecord) -> str:
    """Machines of one kind differ in nothing else that is recorded of them."""
    gpu = record.computed_on.provenance.gpu
    return f"{gpu.uuid} with driver {gpu.driver}" if gpu else "none"


def _computed(record: RunRecord) -> set[Computed]:
    return {way for phase in record.phases for way in phase.computed}


def _counted(record: RunRecord) -> str:
    return "tcpdump" if record.capture.captured else "the transport"


def difference_of(result: RunResult, baseline: RunResult) -> str | None:
    """Where a result is not what the baseline is, within its policy's tolerance."""
    record, name = result.record, baseline.record.name
    if result.logits.shape != baseline.logits.shape:
        return f" has logits of shape {result.logits.shape}, {name} of {baseline.logits.shape}"
    tolerance = record.policy.logit_tolerance
    for step, (found, expected) in enumerate(zip(result.logits, baseline.logits, strict=True)):
        # NaN compares false with everything, so the check asks for what must hold.
        difference = float(np.max(np.abs(found - expected)))
        if not difference <= tolerance:
            return (
                f", step {step}: a logit differs by {difference:.3g} from {name}; its policy "
                f"tolerates {tolerance:g}"
            )
        tokens = record.token_ids[step], baseline.record.token_ids[step]
        if tokens[0] != tokens[1]:
            return f", step {step}: token {tokens[0]} instead of {tokens[1]}"
    return None
