"""Runs from another folder, in environments that are not the developer's."""

import json
import os
import subprocess
import sys
import time

import pytest

from experiment import copy_project
from patience import PATIENCE_S
from small_models import PROJECT, store_small_model

RUN = "results/tiny/runs/semantic/rep1.json"


@pytest.fixture
def experiment(tmp_path):
    """A small experiment, in a folder whose name needs quotes and an encoding."""
    folder = tmp_path / "a project–with “quotes”"
    folder.mkdir()
    return copy_project(folder)


def chinese_locale(folder):
    """Make the locale zh_CN.GB18030, in which Python reads and writes no UTF-8 by default."""
    made = subprocess.run(
        ["localedef", "-i", "zh_CN", "-f", "GB18030", str(folder / "zh_CN.GB18030")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if made.returncode > 1:  # 1: made, with warnings
        pytest.skip("the sources of locales are not installed")
    return {"LOCPATH": str(folder), "LC_ALL": "zh_CN.GB18030"}


def test_from_another_folder_without_path_in_another_encoding(experiment, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {
        "HOME": os.environ["HOME"],
        "PYTHONSAFEPATH": "1",
        # transformers cannot do without docstrings.
        "PYTHONOPTIMIZE": "2",
        **chinese_locale(tmp_path),
    }
    snakemake = [sys.executable, "-m", "snakemake", "--cores", "1", "-s"]
    done = subprocess.run(
        [*snakemake, str(experiment.folder / "Snakefile"), "--", RUN],
        cwd=elsewhere,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=10 * PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")
    record = json.loads((elsewhere / RUN).read_text(encoding="utf-8"))
    assert record["mode"] == "semantic"
    assert not (experiment.folder / "results").joinpath("tiny").exists()


def test_as_a_module_it_is_refused_with_the_way_to_do_it(tmp_path):
    (tmp_path / "Snakefile").write_text(
        f'module semgap:\n    snakefile: "{PROJECT}/Snakefile"\nuse rule * from semgap\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=10 * PATIENCE_S,
    )
    assert done.returncode != 0
    assert f"snakemake -s {PROJECT}/Snakefile --directory" in done.stdout


def test_an_overwritten_model_folder_is_another_model(experiment, tmp_path):
    """By newer files or by older ones, under one name and in place."""
    folder, _ = store_small_model("gptj", tmp_path)
    experiment.configure(model={"weights": "folder", "folder": str(folder)})
    done = experiment.snakemake("--until", "store_weights")
    assert done.returncode == 0, done.stdout
    assert "store_weights" not in experiment.planned()
    (file,) = folder.glob("*.safetensors")
    before = file.stat()
    for times_ns in ((time.time_ns(),) * 2, (10**18,) * 2):
        file.write_bytes(file.read_bytes())
        os.utime(file, ns=times_ns)
        assert "store_weights" in experiment.planned()
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert "store_weights" not in experiment.planned()
