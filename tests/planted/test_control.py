"""With nothing planted, nothing is found; and what is planted is large enough to be found."""

from __future__ import annotations

from control import REPEATS, published_table, remove_last_run, run_with, withdraw
from semgap.checks.catalogue import Finding
from semgap.csv_rows import read_rows
from semgap.phases import MEASURED_PHASES
from semgap.records import Manifest, read_record
from semgap.traffic import tolerance_bytes

_MARGIN = 10
# Of the check compute-clock.
_CLOCK_SLACK_S = 0.002


def _nothing_was_found(experiment):
    findings = read_rows(experiment.results / "checks.csv", Finding)
    return findings == [] and published_table(experiment).exists()


def test_the_control_has_a_table_and_no_finding(control):
    assert _nothing_was_found(control)


def test_a_copy_of_the_control_is_up_to_date(experiment):
    done = experiment.snakemake("-n")
    assert "Nothing to be done" in done.stdout, done.stdout


def test_a_run_measured_again_with_no_error_is_clean(experiment):
    """What is done to plant an error is not what the checks find."""
    before = experiment.record("semantic", REPEATS)
    withdraw(experiment)
    remove_last_run(experiment, "semantic")
    done = run_with("nothing", experiment)
    assert done.returncode == 0, done.stdout
    assert _nothing_was_found(experiment)
    assert experiment.record("semantic", REPEATS)["session_id"] != before["session_id"]


def test_an_unknown_error_is_named(experiment):
    assert "no error is called 'unknown'" in run_with("unknown", experiment).stdout


def test_a_lost_kv_cache_stands_out_from_the_weights(control):
    """Ten times the tolerance, even where weights cross with each step."""
    manifest = read_record(control.results / "model" / "manifest.json", Manifest)
    workload = control.config["workload"]
    steps = workload["decode_steps"]
    kv_cache_bytes = sum(
        (workload["prompt_tokens"] + step) * manifest.kv_cache_bytes_per_token
        for step in range(steps)
    )
    sent_bytes = steps * manifest.weights_bytes + kv_cache_bytes
    assert kv_cache_bytes > _MARGIN * tolerance_bytes(sent_bytes, steps)


def test_passes_are_longer_than_the_slack_of_their_clock(control):
    for mode in control.config["modes"]:
        for phase in control.record(mode, REPEATS)["phases"]:
            if phase["name"] in MEASURED_PHASES:
                worked_s = sum(step["compute_cpu_s"] for step in phase["steps"])
                assert worked_s > 2 * _CLOCK_SLACK_S, (mode, phase["name"])
