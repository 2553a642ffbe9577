"""Format, lint and types: the checks that need no run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from experiment import copy_project, free_port
from small_models import PROJECT

CHECKS = {
    "ruff check": ["ruff", "check", "scripts", "tests"],
    "ruff format": ["ruff", "format", "--check", "scripts", "tests"],
    "types": ["mypy"],
    "snakefmt": ["snakefmt", "--check", "Snakefile", "workflow"],
    "snakemake lint": ["snakemake", "--lint"],
}


@pytest.mark.parametrize("name", CHECKS)
def test_the_project_is_clean(name):
    module, *arguments = CHECKS[name]
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_a_dry_run_works_from_a_clean_clone(tmp_path):
    experiment = copy_project(tmp_path, free_port())
    planned = experiment.planned()
    assert {job.partition(":")[0] for job in planned} == {
        "store_weights",
        "describe_model",
        "prompt",
        "rpc_server",
        "benchmark",
        "parse_capture",
        "record_config",
        "verify",
        "aggregate",
        "check_claims",
        "compare_with_reference",
        "experiment_table",
        "time_line",
        "describe_table",
        "active_table",
    }
    assert len([job for job in planned if job.startswith("benchmark:")]) == 8
    # What is recorded came with the clone; the dry run left nothing beside it.
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["reference"]


def test_the_full_size_experiment_plans_a_download():
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--configfile", "config/gptj-6b.yaml"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "Downloading EleutherAI/gpt-j-6b at 47e169305d2e8376be1d31e765533382721b2cc1" in (
        done.stdout
    )


@pytest.mark.parametrize("script", sorted(path.name for path in (PROJECT / "scripts").glob("*.py")))
def test_every_script_explains_itself(script):
    done = subprocess.run(
        [sys.executable, PROJECT / "scripts" / script, "--help"], stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == 0
    assert "usage:" in done.stdout
