"""What `make artifact` gathers, unpacked elsewhere: without git and without a network."""

import hashlib
import json
import shutil
import subprocess

import pytest

from patience import PATIENCE_S
from small_models import PROJECT

ARTIFACT = PROJECT / "build" / "artifact" / "semgap"

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not ARTIFACT.exists(), reason="`make artifact` was not called"),
]


def made(folder, *command):
    done = subprocess.run(
        [*command], cwd=folder, capture_output=True, text=True, timeout=10 * PATIENCE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """A copy of the artifact, whose wheels are there; tests have no network."""
    folder = tmp_path_factory.mktemp("elsewhere") / "semgap"
    shutil.copytree(ARTIFACT, folder)
    (folder / ".venv").symlink_to(PROJECT / ".venv")
    return folder


def digests(folder):
    files = [*(folder / "results").rglob("*"), *(folder / "docs").iterdir(), folder / "README.md"]
    return {
        file.relative_to(folder): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }


def test_recorded_tables_are_rebuilt_byte_for_byte(unpacked):
    before = digests(unpacked)
    made(unpacked, "make", "reference-tables")
    assert digests(unpacked) == before


def test_the_default_experiment_runs_and_names_the_commit(unpacked):
    made(unpacked, "make", "table")
    record = json.loads((unpacked / "results/mini/runs/local/rep1.json").read_text())
    assert record["provenance"]["commit"] == (unpacked / "COMMIT").read_text().strip()


def test_all_that_is_recorded_is_described(unpacked):
    graph = json.loads((unpacked / "ro-crate-metadata.json").read_text())["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    archives = list((unpacked / "results" / "reference").glob("*/*.tar.xz"))
    mentioned = {one["@id"] for one in entities["./"]["mentions"]}
    assert mentioned == {f"#{file.parent.name}" for file in archives}
    results = {file["@id"] for action in mentioned for file in entities[action]["result"]}
    assert {str(file.relative_to(unpacked)) for file in archives} <= results


@pytest.mark.parametrize(
    ("removed", "said"), [("instrument", "process-run-crate"), ("step", "provenance-run-crate")]
)
def test_the_judge_sees_a_crate_that_lacks_something(unpacked, tmp_path, removed, said):
    shutil.copytree(unpacked, tmp_path / "crate", symlinks=True)
    file = tmp_path / "crate" / "ro-crate-metadata.json"
    crate = json.loads(file.read_text())
    for entity in crate["@graph"]:
        entity.pop(removed, None)
    file.write_text(json.dumps(crate))
    judge = [PROJECT / "build/judge-crate/bin/python", PROJECT / "tests/crate/judge.py"]
    judged = subprocess.run([*judge, file.parent], capture_output=True, text=True)
    assert judged.returncode == 1
    assert said in judged.stderr
