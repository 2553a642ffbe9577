"""Every repeat of every mode computed what ``local`` computed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from semgap.checks.catalogue import Check, Finding
from semgap.checks.evidence import Evidence, RunEvidence
from semgap.policy import REFERENCE_MODE


def same_answer(evidence: Evidence) -> Iterator[Finding]:
    """Compare every run with the first repeat of ``local``."""
    reference = next(
        run
        for run in sorted(evidence.runs, key=lambda run: run.repeat)
        if run.mode == REFERENCE_MODE
    )
    for run in evidence.runs:
        yield from _differences(run, reference)


def _differences(run: RunEvidence, reference: RunEvidence) -> Iterator[Finding]:
    record = run.record
    if run.logits.shape != reference.logits.shape:
        shapes = f"logits of shape {run.logits.shape} instead of {reference.logits.shape}"
        yield Finding(Check.SAME_ANSWER, run.name, shapes)
        return
    if len(record.token_ids) != len(run.logits):
        counts = f"{len(record.token_ids)} tokens beside logits of {len(run.logits)} passes"
        yield Finding(Check.SAME_ANSWER, run.name, counts)
        return
    if len(record.token_ids) != len(reference.record.token_ids):
        counts = f"{len(record.token_ids)} tokens instead of {len(reference.record.token_ids)}"
        yield Finding(Check.SAME_ANSWER, run.name, counts)
        return
    tolerance = record.policy.logit_tolerance
    for step, (found, expected) in enumerate(zip(run.logits, reference.logits, strict=True)):
        where = f"{run.name}, step {step}"
        # NaN compares false with everything, so the check asks for what must hold.
        difference = float(np.max(np.abs(found - expected)))
        if not difference <= tolerance:
            yield Finding(
                Check.SAME_ANSWER,
                where,
                f"a logit differs by {difference:.3g} from {reference.name}; the policy tolerates "
                f"{tolerance:g}",
            )
        if record.token_ids[step] != reference.record.token_ids[step]:
            yield Finding(
                Check.SAME_ANSWER,
                where,
                f"token {record.token_ids[step]} instead of {reference.record.token_ids[step]}",
            )
        elif record.token_ids[step] not in np.flatnonzero(found == np.max(found)):
            yield Finding(
                Check.SAME_ANSWER,
                where,
                f"token {record.token_ids[step]} where the logits are highest for "
                f"{int(np.argmax(found))}",
            )
