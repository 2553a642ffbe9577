"""A run's record names the commit that its code is of, and nothing that is not its own."""

import os
import subprocess
import sys
from importlib import metadata

import pytest

from semgap.plumbing.provenance import checkout_of, describe_provenance, package_versions
from small_models import PROJECT


def git(folder, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", folder, *identity, *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one commit."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    git(tmp_path, "init", "--quiet")
    (tmp_path / "Snakefile").write_text("rule all:\n")
    git(tmp_path, "add", "Snakefile")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def test_a_clean_and_a_changed_checkout_are_told_apart(checkout):
    (checkout / "untracked").write_text("a result")
    commit = git(checkout, "rev-parse", "HEAD")
    assert checkout_of(checkout) == (commit, False, "")
    (checkout / "Snakefile").write_text("rule other:\n")
    assert checkout_of(checkout) == (commit, True, "")


def test_asking_writes_nothing(checkout):
    # Same content under another time: what `git status` would note down in its index.
    os.utime(checkout / "Snakefile", ns=(1, 10**18))
    index = checkout / ".git" / "index"
    before = index.read_bytes(), index.stat().st_mtime_ns
    assert checkout_of(checkout).dirty is False
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before


def test_a_checkout_around_the_project_does_not_count(checkout):
    unpacked = checkout / "unpacked"
    unpacked.mkdir()
    (unpacked / "Snakefile").write_text("rule all:\n")
    assert checkout_of(unpacked) == ("", None, "no git checkout")


def test_a_hook_of_another_repository_does_not_redirect(checkout, tmp_path, monkeypatch):
    commit = git(checkout, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert checkout_of(checkout) == (commit, False, "")


def test_without_git_the_commit_is_unknown(checkout, monkeypatch):
    monkeypatch.setenv("PATH", str(checkout))
    assert checkout_of(checkout) == ("", None, "git is not installed")


def test_every_direct_dependency_has_its_installed_version():
    found = package_versions(PROJECT / "envs" / "direct.in")
    assert found["msgspec"] == metadata.version("msgspec")
    assert {"torch", "transformers", "snakemake"} <= set(found)


def test_a_cpu_has_no_driver():
    found = describe_provenance("c", gpu_uuid="")
    assert (found.code, found.gpu) == ("c", None)
    assert found.load_average >= 0


def test_reading_a_record_and_its_capture_imports_no_torch():
    """A default run parses twelve captures; each import of torch would take a second."""
    code = "import semgap.analysis.numbers.traffic, sys; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "scripts")}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
