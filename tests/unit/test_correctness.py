"""The gate: nothing is published from a wrong computation."""

import msgspec
import numpy as np
import pytest

from sample_runs import PROVENANCE, run
from semgap.analysis.gates.correctness import (
    RunResult,
    check_correctness,
    check_expected,
    check_same_setup,
)
from semgap.errors import CorrectnessError, MeasurementError
from semgap.measurement.tcpdump import CaptureStatus
from semgap.plumbing.provenance import GpuProvenance
from semgap.plumbing.versions import Versions

LOGITS = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 2]], dtype=np.float32)


def results(**changed_of_naive):
    return [
        RunResult(run("local"), LOGITS),
        RunResult(run("naive", **changed_of_naive), LOGITS),
        RunResult(run("naive", repeat=2), LOGITS),
    ]


def test_equal_answers_pass():
    check_correctness(results())


def test_a_logit_beyond_the_tolerance_is_named():
    runs = results()
    wrong = LOGITS.copy()
    wrong[1, 0] += 1e-6
    runs[2] = RunResult(runs[2].record, wrong)
    with pytest.raises(
        CorrectnessError, match=r"naive, repeat 2, step 1: a logit differs by 1e-06"
    ):
        check_correctness(runs)


def test_the_tolerance_is_the_policys():
    tolerant = msgspec.structs.replace(run("naive").policy, logit_tolerance=1e-5)
    runs = results(policy=tolerant)
    runs[1] = RunResult(runs[1].record, LOGITS + np.float32(1e-6))
    check_correctness(runs)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_refused(wrong):
    runs = results()
    runs[1] = RunResult(runs[1].record, np.full_like(LOGITS, wrong))
    with pytest.raises(CorrectnessError, match="naive, repeat 1, step 0"):
        check_correctness(runs)


def test_another_token_is_named():
    with pytest.raises(CorrectnessError, match="step 2: token 4 instead of 3"):
        check_correctness(results(token_ids=(1, 2, 4)))


def test_fewer_steps_are_refused():
    runs = results()
    runs[1] = RunResult(runs[1].record, LOGITS[:2])
    with pytest.raises(CorrectnessError, match="shape"):
        check_correctness(runs)


@pytest.mark.parametrize(
    "changed",
    [
        {"compute_threads": 1},
        {"versions": Versions("3.11", "2.11", "5.23")},
        {
            "provenance": msgspec.structs.replace(
                PROVENANCE, gpu=GpuProvenance("GPU-1", "580", "13.0", False, ())
            )
        },
        {"capture": CaptureStatus(False, "tcpdump is not installed.", "lo")},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_runs_of_different_setups_do_not_mix(changed):
    with pytest.raises(MeasurementError, match="naive, repeat 1 was measured with another"):
        check_same_setup([result.record for result in results(**changed)])


def test_runs_with_two_drivers_of_one_gpu_do_not_mix():
    old, new = (
        msgspec.structs.replace(PROVENANCE, gpu=GpuProvenance("GPU-1", driver, "13.0", False, ()))
        for driver in ("580.1", "590.2")
    )
    records = [msgspec.structs.replace(result.record, provenance=old) for result in results()]
    check_same_setup(records)
    records[-1] = msgspec.structs.replace(records[-1], provenance=new)
    with pytest.raises(MeasurementError, match=r"GPU-1 with driver 590\.2 instead of"):
        check_same_setup(records)


def answers(**wrong_by_run):
    """Two repeats of three modes; those that are named have a wrong answer."""
    return [
        RunResult(run(mode, repeat), LOGITS + np.float32(wrong_by_run.get(f"{mode}{repeat}", 0)))
        for mode in ("local", "naive", "semantic")
        for repeat in (1, 2)
    ]


def test_a_wrong_repeat_of_local_is_blamed_itself():
    with pytest.raises(CorrectnessError, match="local, repeat 1, step 0: a logit differs by 1"):
        check_correctness(answers(local1=1))


def test_a_mode_that_is_always_wrong_is_blamed():
    with pytest.raises(CorrectnessError, match="naive, repeat 1, step 0"):
        check_correctness(answers(naive1=1, naive2=1))


def test_where_all_others_agree_local_is_in_doubt():
    with pytest.raises(CorrectnessError, match=r"none with local.*Delete the runs of local"):
        check_correctness(answers(local1=1, local2=1))


ANSWER = (1, 2, 2)


def expected(found, of_transformers=LOGITS, token_ids=ANSWER, tolerance=1e-3, **more):
    result = RunResult(run("naive", token_ids=token_ids, **more), found.astype(np.float32))
    check_expected([result], of_transformers.astype(np.float32), tolerance)


def test_what_transformers_computes_passes():
    expected(LOGITS)
    expected(LOGITS + 0.9e-3)
    tolerant = msgspec.structs.replace(run("naive").policy, logit_tolerance=1e-2)
    expected(LOGITS + 0.9e-2, policy=tolerant)


def test_refused_what_all_modes_compute_alike_and_transformers_does_not():
    with pytest.raises(
        CorrectnessError, match=r"step 0: token 1, .* gives 1; a logit differs by 2"
    ):
        expected(3 * LOGITS)
    with pytest.raises(CorrectnessError, match=r"step 1: token 2, .* gives 0"):
        expected(LOGITS, np.flip(LOGITS, axis=1))


def test_refused_a_token_that_its_own_logits_do_not_give():
    with pytest.raises(CorrectnessError, match=r"step 1: token 0 was chosen, .* give 2"):
        expected(LOGITS, token_ids=(1, 0, 2))


def test_where_rounding_decides_a_token_what_follows_is_not_compared():
    of_transformers = np.array([[0, 1, 0], [0, 0.9995, 1], [0, 0, 2]])
    found = np.array([[0, 1, 0], [0, 1, 0.9995], [9, 0, 0]])
    expected(found, of_transformers, token_ids=(1, 1, 0))
    with pytest.raises(CorrectnessError, match=r"step 1: token 1, .* gives 2"):
        expected(found, of_transformers, token_ids=(1, 1, 0), tolerance=1e-4)
