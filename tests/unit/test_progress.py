"""How far an experiment is, told from its files."""

import logging
import os
import shutil

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from recorded import unpacked
from semgap.measurement.run_record import RunRecord
from semgap.plumbing.files import read_record
from semgap.progress import RunsAnnounced
from semgap.progress.runs import lines, progress_of

WANTED = dict.fromkeys(("local", "naive", "remote_cache", "semantic"), 3)
NOW_S = 2_000_000_000.0


@pytest.fixture
def results(tmp_path):
    """Two rounds are finished: a run of naive took 9 s, of any other mode 3 s."""
    for mode in WANTED:
        for repeat in (1, 2):
            file = tmp_path / "runs" / mode / f"rep{repeat}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(unpacked("mini-tcp") / "runs" / mode / file.name, file)
            took_s = 9 if mode == "naive" else 3
            end_ns = read_record(file, RunRecord).started_unix_ns + took_s * 10**9
            os.utime(file, ns=(end_ns, end_ns))
    return tmp_path


def progress(results, wanted=WANTED, active=False):
    return progress_of(results, wanted, active, NOW_S)


def test_runs_are_counted_and_the_rest_is_estimated_by_mode(results):
    found = progress(results)
    assert found.done == dict.fromkeys(WANTED, 2)
    assert found.remaining_s == pytest.approx(9 + 3 * 3)
    # Weights once per run of two modes and six times per run of naive, and what is little.
    assert found.moved_bytes == pytest.approx((2 + 2 + 2 + 2 * 6) * 307.4e6, rel=0.05)
    said = lines(found)
    assert said[0].startswith("8 of 12 runs are measured (local 2/3, naive 2/3,")
    assert said[1] == "The rest takes about 18 s."
    assert said[2].startswith("No workflow runs in this folder")


def test_a_mode_without_a_finished_run_may_be_the_slowest(results):
    shutil.rmtree(results / "runs" / "remote_cache")
    assert progress(results).remaining_s == pytest.approx(9 + 3 + 3 + 3 * 9)


def test_before_the_first_run_nothing_is_estimated(tmp_path):
    found = progress(tmp_path)
    assert found.remaining_s is None
    assert "known once a run is finished" in lines(found)[1]


def test_when_all_is_measured_it_says_so(results):
    found = progress(results, dict.fromkeys(WANTED, 2))
    assert found.remaining_s == 0
    assert lines(found)[1:] == ["Nothing is left to measure."]


def test_while_a_workflow_runs_the_last_word_of_its_job_is_told(results):
    logs = results / "logs" / "benchmark"
    logs.mkdir(parents=True)
    for name, said, age_s in (("local.rep2", "decode took 1 s", 60), ("naive.rep3", "step 2", 5)):
        line = f"2026-01-01 10:00:00,000 INFO semgap.measurement.job: {said}\n"
        (logs / f"{name}.log").write_text(line)
        os.utime(logs / f"{name}.log", (NOW_S - age_s, NOW_S - age_s))
    assert lines(progress(results, active=True))[2] == "5 s ago: step 2"
    assert lines(progress(results))[2].startswith("No workflow runs in this folder")


@pytest.fixture
def workflow_log():
    """What Snakemake's log is told of a workflow that measures each mode's first run."""
    said = []
    # When jobs begin and end: the first mode takes 3 s, twice, and the second 9 s.
    clock_s = iter([100.0, 103.0, 110.0, 113.0, 120.0, 129.0, 130.0, 133.0])
    recorded = unpacked("mini-tcp") / "runs"
    handler = RunsAnnounced(
        "benchmark",
        lambda wildcards: recorded / wildcards["mode"] / f"rep{wildcards['repeat']}.json",
        said.append,
        clock=lambda: next(clock_s),
    )
    log = logging.Logger("workflow")
    log.addHandler(handler)

    def tell(event, **fields):
        log.info("x", extra={"event": event, **fields})

    tell(LogEvent.RUN_INFO, stats={"benchmark": 4, "aggregate": 1, "total": 5})
    return said, tell


def run_job(tell, jobid, mode, repeat=1, rule="benchmark"):
    wildcards = {"mode": mode, "repeat": str(repeat)}
    tell(LogEvent.JOB_INFO, jobid=jobid, rule_name=rule, wildcards=wildcards)
    tell(LogEvent.JOB_FINISHED, job_id=jobid)


def test_each_run_that_ends_is_told_with_what_the_rest_takes(workflow_log):
    said, tell = workflow_log
    run_job(tell, 7, "semantic")
    run_job(tell, 8, "semantic", rule="parse_capture")
    run_job(tell, 9, "semantic", repeat=2)
    run_job(tell, 10, "naive")
    run_job(tell, 11, "local")
    assert said.pop(0) == "4 runs are to be measured."
    assert said[0].startswith("Measured 1 of 4: semantic, repeat 1, in 3 s; so far 0.31 GB")
    assert said[0].endswith("the rest takes about 9 s.")
    assert said[1].startswith("Measured 2 of 4: semantic, repeat 2, in 3 s; so far 0.62 GB")
    # Of two modes one takes 3 s and the other 9.
    assert said[2].endswith("the rest takes about 6 s.")
    assert said[3].startswith("Measured 4 of 4: local, repeat 1, in 3 s; so far 2.82 GB")
    assert said[3].endswith("that was the last.")
    assert len(said) == 4


def test_what_cannot_be_told_stops_no_workflow(workflow_log):
    said, tell = workflow_log
    run_job(tell, 7, "a mode without a record")
    assert said[-1].startswith("How long the rest takes cannot be told:")
    assert "a mode without a record/rep1.json' does not exist" in said[-1]
