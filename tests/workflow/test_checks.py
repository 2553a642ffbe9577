"""What a clone can say before anything has run."""

import subprocess
import sys

import pytest

from experiment import copy_project
from plans import dry_run
from small_models import PROJECT


def test_a_dry_run_works_from_a_clean_clone(tmp_path):
    experiment = copy_project(tmp_path)
    planned = experiment.planned()
    assert {job.partition(":")[0] for job in planned} == {
        "store_weights",
        "check_model",
        "describe_model",
        "make_prompt",
        "rpc_server",
        "benchmark",
        "parse_capture",
        "verify_weights",
        "aggregate",
        "render_table",
    }
    assert len([job for job in planned if job.startswith("benchmark:")]) == 8
    # What is recorded came with the clone; the dry run left nothing beside it.
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["reference"]


def test_the_full_size_experiment_plans_a_download(tmp_path):
    plan = dry_run(copy_project(tmp_path).folder, "--configfile", "config/gptj-6b.yaml")
    assert "Downloading EleutherAI/gpt-j-6b at 47e169305d2e8376be1d31e765533382721b2cc1" in (
        plan.messages
    )


@pytest.mark.parametrize("script", sorted(path.name for path in (PROJECT / "scripts").glob("*.py")))
def test_every_script_explains_itself(script):
    done = subprocess.run(
        [sys.executable, PROJECT / "scripts" / script, "--help"], stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == 0
    assert "usage:" in done.stdout
