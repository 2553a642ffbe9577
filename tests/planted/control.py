"""The experiment that errors are planted into, and copies of it in which to plant them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from experiment import Experiment, copy_project, free_port

REPEATS = 2
# Large enough that a KV cache stands out from the weights it travels with, and a pass from the
# slack of its clock; tests/planted/test_control.py asserts both.
_ARCHITECTURE = {
    "model_type": "gptj",
    "n_layer": 4,
    "n_embd": 128,
    "n_head": 4,
    "rotary_dim": 8,
    "n_positions": 256,
    "vocab_size": 500,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
_PLANT = Path(__file__).with_name("plant")


def build_control(folder):
    """An experiment with nothing planted, and its table."""
    experiment = copy_project(folder, free_port())
    experiment.configure(
        model={"architecture": _ARCHITECTURE},
        workload={
            "prompt_tokens": 128,
            "decode_steps": 3,
            "warmup_decode_steps": 1,
            "repeats": REPEATS,
        },
        server={"transport": "tcp"},
    )
    experiment.build()
    return experiment


def copy_of(control, folder):
    """The same experiment with the same files, none of which is to be made again."""
    shutil.copytree(control.folder, folder, symlinks=True, dirs_exist_ok=True)
    return Experiment(folder)


def withdraw(experiment):
    """Remove the table and what the analysis says; measurements and their counts stay."""
    for name in ("checks.csv", "summary.csv", "comparisons.csv", "table.md", "table.csv"):
        (experiment.results / name).unlink()
    published_table(experiment).unlink()


def published_table(experiment):
    return experiment.folder / "results" / "table.md"


def remove_last_run(experiment, mode):
    """Have the last repeat of a mode measured again."""
    (experiment.results / "runs" / mode / f"rep{REPEATS}.json").unlink()


def remove_last_count(experiment, mode):
    """Have the capture of a mode's last repeat counted again."""
    (experiment.results / "traffic" / mode / f"rep{REPEATS}.csv").unlink()


def run_with(error, experiment):
    """Run Snakemake to its end with an error planted in all its processes."""
    return subprocess.run(
        experiment.command(),
        cwd=experiment.folder,
        env={**os.environ, "PYTHONPATH": str(_PLANT), "PLANTED_ERROR": error},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
