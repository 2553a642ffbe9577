"""The gate before the table: every repeat of every mode computed what ``local`` computed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semgap.errors import CorrectnessError, MeasurementError
from semgap.measurement.run_record import RunRecord

REFERENCE_MODE = "local"
_REMEDY = (
    "Nothing is published from it. Delete that run's file to measure it again; if it happens "
    "again, the mode is not what it claims to be."
)


@dataclass(frozen=True)
class RunResult:
    """A run and the logits it recorded: float32, shape (steps, vocabulary)."""

    record: RunRecord
    logits: np.ndarray


def check_correctness(results: Sequence[RunResult]) -> None:
    """Compare every run with ``local``: with its repeat that most runs agree with.

    Raises:
        MeasurementError: the runs were made on different machines or by different versions.
        CorrectnessError: tokens differ, or a logit differs by more than the policy row tolerates.
    """
    of_local = sorted(
        (result for result in results if result.record.mode == REFERENCE_MODE),
        key=lambda result: result.record.repeat,
    )
    for result in results:
        _check_same_setup(result.record, of_local[0].record)
    agreeing = [sum(_agrees(result, candidate) for result in results) for candidate in of_local]
    reference = of_local[agreeing.index(max(agreeing))]
    others = [result for result in results if result.record.mode != REFERENCE_MODE]
    if others and not any(_agrees(result, reference) for result in others):
        _check_no_common_answer(others, reference)
    for result in results:
        _check_same_answer(result, reference)


def _agrees(result: RunResult, reference: RunResult) -> bool:
    try:
        _check_same_answer(result, reference)
    except CorrectnessError:
        return False
    return True


def _check_no_common_answer(others: Sequence[RunResult], reference: RunResult) -> None:
    """If all others agree with each other, it is ``local`` that is in doubt."""
    first = others[0]
    if len({result.record.mode for result in others}) > 1 and all(
        _agrees(result, first) for result in others
    ):
        raise CorrectnessError(
            f"All other modes agree with each other, and none with {reference.record.name}.",
            "Nothing is published from it. Delete the runs of local to measure them again; if it "
            "happens again, the policies are not what they claim to be.",
        )


def _check_same_setup(record: RunRecord, reference: RunRecord) -> None:
    for what, found, expected in (
        ("number of compute threads", record.compute_threads, reference.compute_threads),
        ("versions", record.versions, reference.versions),
        ("machine", record.machine, reference.machine),
        ("way to count bytes", _counted(record), _counted(reference)),
    ):
        if found != expected:
            raise MeasurementError(
                f"{record.name} was measured with another {what} than {reference.name}: {found} "
                f"instead of {expected}.",
                "Results of different set-ups do not mix: delete the experiment's runs/ folder "
                "and measure all of them again.",
            )


def _counted(record: RunRecord) -> str:
    return "tcpdump" if record.capture.captured else "the transport"


def _check_same_answer(result: RunResult, reference: RunResult) -> None:
    record = result.record
    if result.logits.shape != reference.logits.shape:
        raise CorrectnessError(
            f"{record.name} has logits of shape {result.logits.shape}, "
            f"{reference.record.name} of {reference.logits.shape}.",
            _REMEDY,
        )
    tolerance = record.policy.logit_tolerance
    for step, (found, expected) in enumerate(zip(result.logits, reference.logits, strict=True)):
        # NaN compares false with everything, so the check asks for what must hold.
        difference = float(np.max(np.abs(found - expected)))
        if not difference <= tolerance:
            raise CorrectnessError(
                f"{record.name}, step {step}: a logit differs by {difference:.3g} from "
                f"{reference.record.name}; its policy tolerates {tolerance:g}.",
                _REMEDY,
            )
        if record.token_ids[step] != reference.record.token_ids[step]:
            raise CorrectnessError(
                f"{record.name}, step {step}: token {record.token_ids[step]} instead of "
                f"{reference.record.token_ids[step]}.",
                _REMEDY,
            )
