"""The gate: nothing is published from a wrong computation."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from records import run
from semgap.checks.answers import same_answer
from semgap.checks.evidence import Evidence, RunEvidence
from semgap.records import Prompt
from semgap.settings import ExperimentSettings

LOGITS = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 2]], dtype=np.float32)
SETTINGS = ExperimentSettings("test", 2, 2, 1, "cpu", "torch_rpc", "lo")


def evidence_of(mode="naive", repeat=1, logits=LOGITS, **changed):
    return RunEvidence(
        mode, repeat, run(mode, repeat, **{"token_ids": (1, 2, 2), **changed}), logits, ()
    )


def said_of(*runs):
    """What the check says of runs beside an honest ``local``."""
    everything = (evidence_of("local"), *runs)
    evidence = Evidence(None, Prompt(()), SETTINGS, everything)
    return [f"{finding.where}: {finding.what}" for finding in same_answer(evidence)]


def test_equal_answers_pass():
    assert said_of(evidence_of(), evidence_of(repeat=2)) == []


def test_a_logit_beyond_the_tolerance_is_named():
    wrong = LOGITS.copy()
    wrong[1, 0] += 1e-6
    (said,) = said_of(evidence_of(), evidence_of(repeat=2, logits=wrong))
    assert said.startswith("naive, repeat 2, step 1: a logit differs by 1e-06 from local, repeat 1")


def test_the_tolerance_is_the_policys():
    tolerant = msgspec.structs.replace(run("naive").policy, logit_tolerance=1e-5)
    assert said_of(evidence_of(logits=LOGITS + np.float32(1e-6), policy=tolerant)) == []


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_refused(wrong):
    assert said_of(evidence_of(logits=np.full_like(LOGITS, wrong)))[0].startswith(
        "naive, repeat 1, step 0: a logit differs by"
    )


def test_another_token_is_named():
    (said,) = said_of(evidence_of(token_ids=(1, 2, 0)))
    assert said == "naive, repeat 1, step 2: token 0 instead of 2"


def test_a_token_that_the_logits_do_not_favour_is_named():
    everywhere = {"token_ids": (1, 2, 0)}
    evidence = Evidence(None, Prompt(()), SETTINGS, (evidence_of("local", **everywhere),))
    (finding,) = same_answer(evidence)
    assert finding.what == "token 0 where the logits are highest for 2"


def test_fewer_steps_are_refused():
    (said,) = said_of(evidence_of(logits=LOGITS[:2]))
    assert said == "naive, repeat 1: logits of shape (2, 3) instead of (3, 3)"


def test_fewer_tokens_than_passes_are_refused():
    (said,) = said_of(evidence_of(token_ids=(1, 2)))
    assert said == "naive, repeat 1: 2 tokens beside logits of 3 passes"
