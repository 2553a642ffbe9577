"""The reports around the table: built with it, of the same runs, and the same on every machine."""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import subprocess
import sys

import pytest
import yaml

from experiment import DECODE_STEPS, REPEATS, Experiment

MODES = ("local", "naive", "remote_cache", "semantic")
PHASES = ("setup", "warmup", "prefill", "decode")
# What the analysis makes of run files; the others of the folder are inputs, or logs.
ANALYSED = (
    "checks.csv",
    "checks.md",
    "claims.csv",
    "claims.md",
    "comparisons.csv",
    "repeats.csv",
    "stats.md",
    "summary.csv",
    "table.csv",
    "table.md",
    "table.tex",
    "time-line.svg",
    "traffic.csv",
    "traffic.md",
    "versus-reference.md",
)
ANALYSIS_RULES = (
    "parse_capture",
    "verify",
    "aggregate",
    "check_claims",
    "compare_with_reference",
    "experiment_table",
    "time_line",
    "describe_table",
)


def rows_of(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture(scope="module")
def analysed_again(finished, tmp_path_factory):
    """The finished experiment with its analysis made anew, elsewhere and in other surroundings."""
    folder = tmp_path_factory.mktemp("analysed_again") / "elsewhere"
    shutil.copytree(finished.folder, folder, symlinks=True)
    again = Experiment(folder)
    for name in ANALYSED:
        (again.results / name).unlink()
    shutil.rmtree(again.results / "traffic")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        again.command(),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **os.environ,
            "TZ": "Pacific/Chatham",
            "LC_ALL": "C",
            "PYTHONHASHSEED": "7",
            "OPENBLAS_CORETYPE": "Prescott",
        },
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout
    assert "Measuring" not in done.stdout
    cpu_s = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return again, cpu_s


def test_nothing_is_found_in_honest_runs(each):
    assert rows_of(each.results / "checks.csv") == []
    assert "No finding." in (each.results / "checks.md").read_text()


def test_every_run_is_counted_three_times(each):
    rows = rows_of(each.results / "traffic.csv")
    assert len(rows) == len(MODES) * REPEATS * len(PHASES) * 2
    for row in rows:
        counts = [float(row[name]) for name in ("predicted_bytes", "captured_bytes")]
        counts.append(float(row["kernel_bytes"]))
        assert max(counts) - min(counts) <= float(row["tolerance_bytes"])
        if row["mode"] == "local":
            assert counts == [0, 0, 0]
    naive = next(row for row in rows if (row["mode"], row["phase"]) == ("naive", "decode"))
    assert int(naive["messages"]) == DECODE_STEPS
    assert int(naive["wire_mtu_1500_bytes"]) > int(naive["wire_mtu_9000_bytes"])
    assert int(naive["wire_mtu_9000_bytes"]) > int(naive["predicted_bytes"])


def test_the_same_runs_give_the_same_bytes_anywhere(finished, analysed_again):
    again, _ = analysed_again
    for name in ANALYSED:
        assert (again.results / name).read_bytes() == (finished.results / name).read_bytes(), name


def test_the_analysis_is_light(analysed_again):
    """Less than 10 s of processor time are asked for, Snakemake aside; a test leaves a margin."""
    _, cpu_s = analysed_again
    assert cpu_s < 20


def test_the_table_is_confirmed_and_named_with_its_claims(finished):
    text = (finished.folder / "results" / "table.md").read_text()
    assert "confirmed by the kernel's counters and by prediction" in text
    assert "Claims (claims.md):" in text


def test_what_backs_the_table_says_where_it_comes_from(finished):
    origin = json.loads((finished.results / "provenance.json").read_text())
    order = origin["table"]["known"]["job_order"]
    assert sorted(order) == sorted(
        f"{mode}, repeat {repeat}" for mode in MODES for repeat in range(1, REPEATS + 1)
    )
    assert len(origin["runs"]) == len(order)
    for run in origin["runs"]:
        assert run["known"]["config"]["workload"]["decode_steps"] == DECODE_STEPS
        assert run["packages"]["torch"]
        assert run["machine"]["cores"] == os.cpu_count()
        assert set(run["known"]["seeds"]) == {"model weights", "prompt", "order of runs"}
    manifest = json.loads((finished.results / "model" / "manifest.json").read_text())
    assert {run["known"]["model_fingerprint"] for run in origin["runs"]} == {
        manifest["fingerprint"]
    }


def test_the_machine_around_each_run_is_recorded(finished):
    for mode in MODES:
        around = json.loads((finished.results / "runs" / mode / "rep1.machine.json").read_text())
        assert (around["mode"], around["repeat"]) == (mode, 1)
        assert around["after"]["monotonic_ns"] > around["before"]["monotonic_ns"]
        assert around["own_cpu_s"] > 0


def require(experiment):
    """What `make claims` runs at its end."""
    return subprocess.run(
        [
            sys.executable,
            "scripts/require_claims.py",
            "--csv",
            str(experiment.results / "claims.csv"),
        ],
        cwd=experiment.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_contradicted_claim_fails_its_target_and_not_the_table(analysed_again):
    again, _ = analysed_again
    assert require(again).returncode == 0
    file = again.folder / "config" / "claims.yaml"
    claims = yaml.safe_load(file.read_text())
    bold = next(claim for claim in claims["claims"] if claim["kind"] == "more_bytes")
    bold["factor"] = 10**9
    file.write_text(yaml.safe_dump(claims))
    again.build("results/table.md")
    done = require(again)
    assert done.returncode == 1
    assert f"'{bold['id']}'" in done.stdout
    assert (
        f"contradicted, or required and not shown: {bold['id']}"
        in (again.folder / "results" / "table.md").read_text()
    )


def test_a_recorded_experiment_is_compared_with(finished, analysed_again):
    again, _ = analysed_again
    assert "Not the same workload" in (finished.results / "versus-reference.md").read_text() or (
        "No recorded run" in (finished.results / "versus-reference.md").read_text()
    )
    subprocess.run(
        [
            sys.executable,
            "scripts/record_reference.py",
            "--experiment-folder",
            "results/tiny",
            "--name",
            "tiny-itself",
        ],
        cwd=again.folder,
        check=True,
    )
    again.build("results/table.md")
    text = (again.results / "versus-reference.md").read_text()
    assert text.startswith("# Comparison with recorded results\n\nOK: ")
    assert "## `tiny-itself`" in text
