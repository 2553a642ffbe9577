"""The gate before the table: every repeat of every mode computed what ``local`` computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semgap.errors import CorrectnessError, MeasurementError
from semgap.records import RunRecord

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
    """Compare every run with the first repeat of ``local``.

    Raises:
        MeasurementError: the runs do not belong together.
        CorrectnessError: tokens differ, or a logit differs by more than the policy row tolerates.
    """
    reference = next(
        result
        for result in sorted(results, key=lambda result: result.record.repeat)
        if result.record.mode == REFERENCE_MODE
    )
    for result in results:
        _check_same_experiment(result.record, reference.record)
        _check_same_answer(result, reference)


def _check_same_experiment(record: RunRecord, reference: RunRecord) -> None:
    for what in (
        "model_fingerprint",
        "prompt_tokens",
        "logits_to_keep",
        "device",
        "compute_threads",
        "versions",
        "host",
    ):
        found, expected = getattr(record, what), getattr(reference, what)
        if found != expected:
            raise MeasurementError(
                f"{_name(record)} was measured with another {what.replace('_', ' ')} than "
                f"{_name(reference)}: {found} instead of {expected}.",
                "Results of different set-ups do not mix: delete the experiment's runs/ folder "
                "and measure all of them again.",
            )


def _check_same_answer(result: RunResult, reference: RunResult) -> None:
    record = result.record
    if result.logits.shape != reference.logits.shape:
        raise CorrectnessError(
            f"{_name(record)} has logits of shape {result.logits.shape}, "
            f"{_name(reference.record)} of {reference.logits.shape}.",
            _REMEDY,
        )
    tolerance = record.policy.logit_tolerance
    for step, (found, expected) in enumerate(zip(result.logits, reference.logits, strict=True)):
        # NaN compares false with everything, so the check asks for what must hold.
        difference = float(np.max(np.abs(found - expected)))
        if not difference <= tolerance:
            raise CorrectnessError(
                f"{_name(record)}, step {step}: a logit differs by {difference:.3g} from "
                f"{_name(reference.record)}; its policy tolerates {tolerance:g}.",
                _REMEDY,
            )
        if record.token_ids[step] != reference.record.token_ids[step]:
            raise CorrectnessError(
                f"{_name(record)}, step {step}: token {record.token_ids[step]} instead of "
                f"{reference.record.token_ids[step]}.",
                _REMEDY,
            )


def _name(record: RunRecord) -> str:
    return f"{record.mode}, repeat {record.repeat}"
