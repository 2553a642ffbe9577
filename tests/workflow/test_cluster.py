"""A whole experiment on a real Slurm on this machine: measured, failed, cancelled, lost."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml

from another_host import AHEAD, served_over, ssh_host
from experiment import copy_project
from judges import needs
from networks import joined_network, needs_a_network
from patience import PATIENCE_S
from semgap.measurement.run_record import RunRecord
from semgap.plumbing.files import read_record
from semgap.plumbing.processes import die_with_parent
from slurm_cluster import slurm_cluster
from small_models import PROJECT

# A small machine with two nodes; status is asked for more often than a cluster would like.
HERE = (
    *("--cores", str(os.cpu_count()), "--latency-wait", "10"),
    *("--default-resources", "mem_mb=500", "runtime=30"),
    *("--slurm-no-account", "--slurm-init-seconds-before-status-checks", "1"),
    *("--slurm-status-command", "squeue", "--seconds-between-status-checks", "1"),
)


def on_a_cluster(test):
    """Mark a test that starts one: minutes, most of which are waits between two looks at a job."""
    return pytest.mark.thorough(needs("slurmctld", "slurmd", "munged", "unshare")(test))


def test_an_experiment_is_three_jobs(tmp_path):
    said = (
        copy_project(tmp_path)
        .snakemake(
            "-n", "--workflow-profile", "profiles/slurm", targets=("results/table.md", "report")
        )
        .stdout
    )
    groups = re.findall(r"Group job (\w+)", said)
    assert groups == ["made", "measured", "analysed"], said
    alone = re.findall(r"^\[.*\]\nJob .*", said, re.MULTILINE)
    assert not alone, "a job of no group"


def test_each_rule_has_its_place():
    rules = {
        name
        for file in (PROJECT / "workflow" / "rules").glob("*.smk")
        for name in re.findall(r"^rule (\w+):", file.read_text(), re.MULTILINE)
    }
    profile = yaml.safe_load((PROJECT / "profiles" / "slurm" / "config.yaml").read_text())
    groups = dict(one.split("=") for one in profile["groups"])
    downloads = {name for name in rules if name.startswith("download_")}
    assert set(groups) == rules - downloads
    measuring = {name for name, group in groups.items() if group == "measured"}
    assert set(profile["set-resources"]) == measuring
    for resources in profile["set-resources"].values():
        assert "--exclusive" in resources["slurm_extra"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running
    # What was killed could not remove it.
    for left in Path(tempfile.gettempdir()).glob("snakemake*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def started(experiment, cluster, *arguments):
    there = [*cluster.inside, "env", f"--chdir={experiment.folder}"]
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", *HERE]
    return subprocess.Popen(
        [*there, *command, *arguments, "--", "results/table.md"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=die_with_parent,
    )


def finished(process):
    said, _ = process.communicate(timeout=10 * PATIENCE_S)
    return process.returncode, said


def jobs_of(cluster):
    """What the cluster remembers of its jobs, by their number."""
    shown = cluster.ask("scontrol", "show", "job", "--oneliner").splitlines()
    jobs = [dict(field.partition("=")[::2] for field in line.split()) for line in shown]
    return {job["JobId"]: job for job in jobs if "JobId" in job}


def measured_runs(experiment):
    return sorted(experiment.results.glob("runs/*/rep*.json"))


def waited_for(condition):
    deadline_s = time.monotonic() + 5 * PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.2)


def half_measured(built, folder):
    """The experiment without most of its repeats."""
    experiment = built.copy_to(folder)
    for file in measured_runs(experiment)[2:]:
        file.unlink()
    return experiment


def goes_on(experiment, cluster, process):
    """What a run measured before it failed stays, and the same command measures the rest."""
    code, said = finished(process)
    assert code != 0, said
    kept = {file: file.stat().st_mtime_ns for file in measured_runs(experiment)}
    assert len(kept) >= 4
    code, said = finished(started(experiment, cluster))
    assert code == 0, said + experiment.ends_of_logs()
    assert all(file.stat().st_mtime_ns == then for file, then in kept.items())


@pytest.fixture(scope="module")
def built(cluster, tmp_path_factory):
    experiment = copy_project(tmp_path_factory.mktemp("experiment"))
    code, said = finished(started(experiment, cluster))
    assert code == 0, said + experiment.ends_of_logs()
    return experiment


@on_a_cluster
def test_a_table_is_built_by_jobs_of_which_one_measures(built, cluster):
    """All repeats were one job's, so no two were measured at once and none on another node."""
    table = (built.folder / "results" / "table.md").read_text()
    assert "interleaved: each mode once, then all again" in table
    records = [read_record(file, RunRecord) for file in measured_runs(built)]
    assert len(records) == 8
    assert not cluster.ask("squeue", "--noheader").strip()


@on_a_cluster
def test_the_points_of_a_sweep_go_to_as_many_nodes(built, cluster, tmp_path):
    """By a copy of the profile, as a lab would write it."""
    experiment = built.copy_to(tmp_path)
    experiment.configure(
        modes=["local", "semantic"],
        workload={"repeats": 1},
        # Both nodes are this machine.
        server={"port": 0},
        sweep={"workload.decode_steps": [1, 2, 4]},
    )
    profile = experiment.folder / "profiles" / "slurm" / "config.yaml"
    ours = {
        "cores": os.cpu_count(),
        "latency-wait": 10,
        "default-resources": {"mem_mb": 500, "runtime": 30},
        "slurm-no-account": True,
        "slurm-init-seconds-before-status-checks": 1,
        "slurm-status-command": "squeue",
        "seconds-between-status-checks": 1,
    }
    (experiment.folder / "profiles" / "ours").mkdir()
    (experiment.folder / "profiles" / "ours" / "config.yaml").write_text(
        yaml.safe_dump(yaml.safe_load(profile.read_text()) | ours)
    )
    before = jobs_of(cluster).keys()
    done = subprocess.run(
        [
            *(*cluster.inside, "env", f"--chdir={experiment.folder}"),
            *(sys.executable, "scripts/sweep.py", "measure", "--cores", str(os.cpu_count())),
            *("--folder", "build/sweeps", "--configfile", "config/default.yaml"),
            *("--profile", "profiles/ours", "--at-once", "2"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=10 * PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + experiment.ends_of_logs()
    assert len(list(experiment.folder.glob("results/tiny-*/table.md"))) == 3
    jobs = [job for name, job in jobs_of(cluster).items() if name not in before]
    assert any(
        one["NodeList"] != other["NodeList"]
        and one["StartTime"] < other["EndTime"]
        and other["StartTime"] < one["EndTime"]
        for one, other in itertools.combinations(jobs, 2)
    ), jobs


@on_a_cluster
@needs("sshd", "ssh", "ssh-keygen")
@needs_a_network
def test_a_worker_has_another_node_that_ssh_leads_to(cluster, tmp_path_factory):
    here, there = (copy_project(tmp_path_factory.mktemp(name)) for name in ("here", "there"))
    with joined_network() as link, ssh_host(link, tmp_path_factory.mktemp("ssh"), *AHEAD) as target:
        here.configure(workload={"repeats": 1}, server=served_over(target, there.folder))
        code, said = finished(started(here, cluster))
    assert code == 0, said + here.ends_of_logs()
    records = [read_record(file, RunRecord) for file in measured_runs(here)]
    assert [record.mode for record in records if record.worker_host is None] == ["local"]
    assert len(records) == 4
    assert (here.folder / "results" / "table.md").exists()


@on_a_cluster
def test_a_job_that_is_cancelled_loses_nothing_and_is_submitted_again(built, cluster, tmp_path):
    experiment = half_measured(built, tmp_path)
    process = started(experiment, cluster)
    waited_for(lambda: len(measured_runs(experiment)) >= 4)
    cluster.ask("scancel", "--state=RUNNING", "--user=root")
    goes_on(experiment, cluster, process)


@on_a_cluster
def test_a_job_that_fails_says_why(built, cluster, tmp_path):
    experiment = built.copy_to(tmp_path)
    experiment.configure(worker={"device": "cuda"})
    code, said = finished(started(experiment, cluster))
    assert code != 0
    assert "PyTorch sees no CUDA device" in said + experiment.ends_of_logs()
    assert not cluster.ask("squeue", "--noheader").strip()


@on_a_cluster
def test_a_node_that_vanishes_takes_nothing_with_it(built, cluster, tmp_path):
    experiment = half_measured(built, tmp_path)
    process = started(experiment, cluster)
    waited_for(lambda: len(measured_runs(experiment)) >= 4)
    job, node = cluster.ask("squeue", "--noheader", "--format=%A %N").split()
    cluster.lose(node, job)
    goes_on(experiment, cluster, process)
