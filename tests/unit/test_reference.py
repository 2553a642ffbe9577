"""What is published of the recorded results is what their records give, byte for byte."""

import shutil
import subprocess
import sys

import pytest

from small_models import PROJECT

REFERENCE = PROJECT / "results" / "reference"
RECORDED = sorted(file.parent.name for file in REFERENCE.glob("*/manifest.json"))


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory):
    """A copy of the project in which everything was built again from the records."""
    copy = tmp_path_factory.mktemp("rebuilt")
    for name in ("scripts", "docs", "results/reference", "README.md"):
        source = PROJECT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
    for name in RECORDED:
        for file in (copy / "results" / "reference" / name).glob("*.*"):
            if file.name not in ("manifest.json", "expectation.json"):
                file.unlink()
    command = [sys.executable, copy / "docs" / "reference_results.py"]
    done = subprocess.run(command, env={"PYTHONPATH": str(copy / "scripts")})
    return copy, done.returncode


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_table_is_rebuilt_from_its_records(rebuilt, name):
    copy, _status = rebuilt
    for file in ("repeats.csv", "summary.csv", "table.md", "table.tex", "table.csv", "modes.svg"):
        now = (copy / "results" / "reference" / name / file).read_bytes()
        assert now == (REFERENCE / name / file).read_bytes(), "run: make reference-tables"


def test_the_readme_shows_a_recorded_table(rebuilt):
    copy, status = rebuilt
    assert RECORDED
    assert (copy / "README.md").read_text() == (PROJECT / "README.md").read_text()
    assert status == 0
