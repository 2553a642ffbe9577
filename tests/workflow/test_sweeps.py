"""Sweeps: each point is an experiment of its own."""

import base64
import subprocess
import sys

import yaml

from experiment import copy_project
from patience import PATIENCE_S


def measured(experiment, *flags):
    """Measure the sweep of the experiment's configuration; returns what was said and the status."""
    done = subprocess.run(
        [
            *(sys.executable, "scripts/sweep.py", "measure", "--cores", "1"),
            *("--folder", "build/sweeps", "--configfile", "config/default.yaml", *flags),
        ],
        cwd=experiment.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=10 * PATIENCE_S,
    )
    return done.returncode, done.stdout


def reported(experiment):
    """What the finished points show."""
    return subprocess.run(
        [
            *(sys.executable, "scripts/sweep.py", "report"),
            *("--configfile", "config/default.yaml", "--shapes", "config/models/shapes.yaml"),
        ],
        cwd=experiment.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def runs_of(experiment):
    return {
        str(file.relative_to(experiment.folder)): file.stat().st_mtime_ns
        for file in experiment.folder.glob("results/tiny-*/runs/*/*.json")
    }


def test_survived_a_point_of_a_sweep_that_fails(tmp_path):
    """The others are measured, and by the next call only what was missing."""
    experiment = copy_project(tmp_path)
    experiment.configure(
        modes=["local", "semantic"],
        workload={"repeats": 1},
        server={"transport": "tcp"},
        sweep={
            # An address of documentation (RFC 5737), which no machine has.
            "unreachable": {"server.host": "192.0.2.1"},
            "short": {"workload.decode_steps": 2},
        },
    )
    status, said = measured(experiment)
    assert status != 0
    assert "cannot listen at 192.0.2.1" in said
    assert "1 of 2 points failed: tiny-unreachable." in said
    assert (experiment.folder / "results/tiny-short/table.md").exists()
    before = runs_of(experiment)
    assert "1 of 2 points: results/tiny/scaling.md" in reported(experiment).stdout

    # All but the first by name as on a cluster: what is measured stays, the rest is measured.
    sweep = {
        "short": experiment.config["sweep"]["short"],
        "unreachable": {"server.host": "127.0.0.2"},
    }
    experiment.config_file.write_text(yaml.safe_dump({**experiment.config, "sweep": sweep}))
    status, said = measured(experiment, "--at-once", "2")
    assert status == 0, said
    after = runs_of(experiment)
    assert before.items() <= after.items()
    assert len(after) == 4
    # Whoever calls Snakemake in the project knows what was made elsewhere, and by which code.
    notes = experiment.folder / ".snakemake" / "metadata"
    noted = {base64.urlsafe_b64decode(file.name).decode() for file in notes.iterdir()}
    assert "results/tiny-unreachable/runs/semantic/rep1.json" in noted
    config = experiment.folder / "build/sweeps/tiny-unreachable.yaml"
    done = experiment.snakemake(
        *("-n", "--configfile", config), targets=("results/tiny-unreachable/table.md",)
    )
    assert "Nothing to be done" in done.stdout
    assert "2 of 2 points" in reported(experiment).stdout
    folder = experiment.folder / "results" / "tiny"
    assert "2 experiments with" in (folder / "scaling.md").read_text()
    assert b"</svg>" in (folder / "scaling.svg").read_bytes()
    assert "Framework-Level" in (folder / "explorer.html").read_text()


def test_refused_a_report_of_a_sweep_before_any_point(tmp_path):
    experiment = copy_project(tmp_path)
    experiment.configure(sweep={"workload.decode_steps": [1, 2]})
    done = reported(experiment)
    assert done.returncode != 0
    assert "No point of the sweep is measured. Run 'make sweep' first." in done.stderr
