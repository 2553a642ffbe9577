"""Provenance names what a result depends on, and nothing that is secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from kernel_tree import BARE, make_server, make_tree
from semgap.meters.commands import ask
from semgap.meters.link_facts import read_link_facts
from semgap.meters.machine_facts import read_machine_facts
from semgap.provenance import (
    KnownToCaller,
    Provenance,
    collect_provenance,
    measuring_environment,
    package_versions,
)
from semgap.records import read_record, write_record
from semgap.source_state import SourceState, read_source_state
from small_models import PROJECT

KNOWN = KnownToCaller(
    config={"experiment": "test", "decode": {"steps": 3}},
    interface="lo",
    model_fingerprint="abc",
    seeds={"weights": 1, "order": 2},
    job_order=("local/rep1", "naive/rep1"),
)
RECORDED = (
    "CUDA_VISIBLE_DEVICES",
    "GOMP_SPINCOUNT",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "TP_SOCKET_IFNAME",
)


@pytest.fixture(autouse=True)
def no_git_variables(monkeypatch):
    """As far as git is concerned, the machine of somebody who has just installed it."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


def git(folder, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A checkout with one commit, and its commit."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "Snakefile").write_text("rule all:\n")
    git(folder, "add", "Snakefile")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder, git(folder, "rev-parse", "HEAD")


def snapshot(folder):
    return {
        str(file.relative_to(folder)): (file.stat().st_mtime_ns, file.read_bytes())
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_a_clean_and_a_changed_checkout_are_told_apart(checkout):
    folder, commit = checkout
    (folder / "untracked").write_text("a result")
    assert read_source_state(folder) == SourceState(commit, dirty=False)
    (folder / "Snakefile").write_text("rule other:\n")
    assert read_source_state(folder) == SourceState(commit, dirty=True)


def test_asking_git_writes_nothing(checkout):
    folder, _ = checkout
    # Same content under another time: what `git status` would note down in its index.
    os.utime(folder / "Snakefile", ns=(1, 10**18))
    before = snapshot(folder)
    assert read_source_state(folder).dirty is False
    assert snapshot(folder) == before


def test_outside_of_a_checkout_there_is_a_reason(tmp_path):
    state = read_source_state(tmp_path)
    assert (state.commit, state.dirty) == (None, None)
    assert "not a git repository" in state.reason


def test_a_checkout_around_the_project_does_not_count(checkout):
    folder, _ = checkout
    unpacked = folder / "unpacked"
    unpacked.mkdir()
    (unpacked / "Snakefile").write_text("rule all:\n")
    state = read_source_state(unpacked)
    assert (state.commit, state.dirty) == (None, None)
    assert "does not track it" in state.reason


def test_a_hook_of_another_repository_does_not_redirect(checkout, tmp_path, monkeypatch):
    folder, commit = checkout
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert read_source_state(folder) == SourceState(commit, dirty=False)


def test_without_git_there_is_a_reason(checkout, monkeypatch):
    folder, _ = checkout
    monkeypatch.setattr("semgap.meters.commands.shutil.which", lambda *_arguments, **_path: None)
    assert read_source_state(folder) == SourceState(None, None, "git is not installed")


def test_a_checkout_without_a_commit_has_a_reason(tmp_path):
    git(tmp_path, "init", "--quiet")
    state = read_source_state(tmp_path)
    assert state.commit is None
    assert state.reason.startswith("git failed")


def test_a_command_that_fails_says_why():
    answer = ask((sys.executable, "-c", "import sys; sys.exit('no such thing')"))
    assert answer.output is None
    assert answer.problem.endswith("failed: no such thing")


def test_provenance_is_read_back_as_it_was_written(tmp_path):
    written = collect_provenance(KNOWN)
    write_record(tmp_path / "provenance.json", written)
    assert read_record(tmp_path / "provenance.json", Provenance) == written
    assert written.known == KNOWN
    assert written.python == ".".join(map(str, sys.version_info[:3]))
    assert written.gpu is None
    assert written.link.mtu_bytes == int(Path("/sys/class/net/lo/mtu").read_text())
    assert written.machine.cores == len(os.sched_getaffinity(0))


def test_every_direct_dependency_has_its_installed_version():
    versions = package_versions(PROJECT / "envs" / "direct.in")
    lines = (PROJECT / "envs" / "direct.in").read_text().splitlines()
    assert set(versions) == {line for line in lines if line and not line.startswith("#")}
    assert versions["msgspec"] == metadata.version("msgspec")
    assert all(versions.values())


def test_a_package_that_is_not_installed_is_none(tmp_path):
    names = tmp_path / "direct.in"
    names.write_text("# a comment\nno-such-package-anywhere\nmsgspec\n")
    assert package_versions(names) == {
        "msgspec": metadata.version("msgspec"),
        "no-such-package-anywhere": None,
    }


@given(st.dictionaries(st.text() | st.sampled_from([*RECORDED, "PYTORCH_X"]), st.text()))
def test_only_listed_variables_are_recorded(environment):
    recorded = measuring_environment(environment)
    assert recorded == {
        name: value
        for name, value in environment.items()
        if name in RECORDED or name.startswith("PYTORCH_")
    }
    assert list(recorded) == sorted(recorded)


def test_no_secret_gets_in(monkeypatch):
    """Every variable of this process is given a value that would be found again."""
    secret = "s3cr3t-{}"
    kept = {"PATH", "HOME", "LD_LIBRARY_PATH", "LANG", "TMPDIR", *measuring_environment(os.environ)}
    names = [name for name in os.environ if name not in kept]
    names += [
        "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "SEMGAP_SECRET",
        "omp_num_threads",
        "MY_PYTORCH_X",
    ]
    for number, name in enumerate(names):
        monkeypatch.setenv(name, secret.format(number))
    for name in measuring_environment(os.environ):
        monkeypatch.delenv(name)
    for name in (*RECORDED, "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.setenv(name, f"set {name}")
    provenance = collect_provenance(KNOWN)
    text = msgspec.json.encode(provenance).decode()
    assert "s3cr3t" not in text
    assert provenance.environment == {
        name: f"set {name}" for name in sorted((*RECORDED, "PYTORCH_CUDA_ALLOC_CONF"))
    }
    for name in names:
        assert f'"{name}"' not in text


def test_collecting_takes_little_time_and_no_torch():
    script = (
        "import json, sys, time\n"
        "from semgap.provenance import KnownToCaller, collect_provenance\n"
        "took_s = []\n"
        "for _ in range(5):\n"
        "    begin_s = time.perf_counter()\n"
        "    collect_provenance(KnownToCaller({}, 'lo', 'f', {}))\n"
        "    took_s.append(time.perf_counter() - begin_s)\n"
        "heavy = sorted({'torch', 'pynvml', 'pandas'} & set(sys.modules))\n"
        "print(json.dumps([min(took_s), heavy]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "scripts")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, check=True
    )
    took_s, imported = json.loads(done.stdout)
    assert took_s < 0.15
    assert imported == []


def test_a_machine_that_shows_all_is_described_completely(tmp_path):
    facts = read_machine_facts(make_server(tmp_path))
    assert facts.kernel == os.uname().release
    assert facts.cpu == "Fast CPU @ 3.00GHz"
    assert facts.quota_cores == 1.5
    assert facts.memory_bytes == 1_024_000
    assert facts.numa_nodes == 2
    assert facts.governors == ("performance", "powersave")
    assert (facts.boost, facts.smt, facts.virtual) == (False, True, False)
    assert facts.clock_source == "tsc"


def test_a_bare_machine_is_described_as_far_as_it_goes(tmp_path):
    facts = read_machine_facts(make_tree(tmp_path, BARE))
    shown = {name for name in facts.__struct_fields__ if getattr(facts, name) is not None}
    assert shown == {"kernel", "cpu", "cores"}


@pytest.mark.parametrize(("boost", "expected"), [("0", False), ("1", True)])
def test_boost_is_found_where_the_driver_is_not_intels(tmp_path, boost, expected):
    root = make_tree(tmp_path, {**BARE, "sys/devices/system/cpu/cpufreq/boost": boost})
    assert read_machine_facts(root).boost is expected


def fake_tool(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    (folder / name).chmod(0o755)


def test_a_link_is_described_completely(tmp_path, monkeypatch):
    root = make_server(tmp_path / "root")
    fake_tool(tmp_path / "bin", "tc", "qdisc netem 8001: root refcnt 2 limit 1000 delay 10ms ")
    fake_tool(
        tmp_path / "bin",
        "ethtool",
        "Features for eth7:\nrx-checksumming: on\ntcp-segmentation-offload: on\n"
        "\ttx-tcp-segmentation: on\ngeneric-receive-offload: off [fixed]",
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    facts = read_link_facts("eth7", root)
    assert (facts.mtu_bytes, facts.speed_mbit_s, facts.driver) == (9000, 100_000, "fastnic")
    assert facts.queueing == ("qdisc netem 8001: root refcnt 2 limit 1000 delay 10ms",)
    assert facts.offloads == {
        "tcp-segmentation-offload": "on",
        "generic-receive-offload": "off [fixed]",
    }
    assert facts.tcp_congestion_control == "cubic"
    assert facts.tcp_rmem == (4096, 131072, 6291456)
    assert facts.tcp_wmem == (4096, 16384, 4194304)


def test_a_link_without_tools_or_device_is_described_as_far_as_it_goes(tmp_path, monkeypatch):
    monkeypatch.setattr("semgap.meters.commands.shutil.which", lambda *_arguments, **_path: None)
    facts = read_link_facts("eth8", make_tree(tmp_path, BARE))
    shown = {name for name in facts.__struct_fields__ if getattr(facts, name) is not None}
    assert shown == {"interface"}
