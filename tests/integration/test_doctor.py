"""What a machine lacks is named before anything costs time, with a remedy that works."""

import contextlib
import os
import socket
import subprocess
import sys
import time

import msgspec
import pytest
import torch
import yaml

from doctor import is_measured
from judges import needs
from patience import PATIENCE_S
from semgap.doctor import Finding, Level
from semgap.doctor.experiment import duration_s, needs_of, weights_bytes_of
from semgap.doctor.host import (
    check_compiler,
    check_disk,
    check_gpu,
    check_machine,
    check_memory,
    check_writable,
)
from semgap.doctor.network import check_capture, check_port, check_tools
from semgap.doctor.packages import check_packages, check_python
from semgap.inference.worker_settings import WorkerSettings
from semgap.measurement.job_settings import CaptureSettings
from semgap.pipeline.config import read_config
from semgap.plumbing.tcp_sockets import free_port
from semgap.server.endpoint import ServerSettings
from small_models import PROJECT

ENVS = PROJECT / "envs"
BUSY = "while True: pass"


def by_subject(findings):
    return {one.subject: one for one in findings}


@contextlib.contextmanager
def mounted(folder, options):
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder])
    if done.returncode:
        pytest.skip("mounting is not permitted")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_python_and_packages_are_as_pinned():
    assert check_python().level is Level.OK
    (found,) = check_packages(ENVS / "direct.in", ENVS / "lock-current.txt")
    assert found.level in (Level.OK, Level.NOTE), found


def test_a_missing_package_and_another_version_are_named(tmp_path):
    needed, lock = tmp_path / "direct.in", tmp_path / "lock.txt"
    needed.write_text("# a remark\nmsgspec\nno-such-package\n")
    lock.write_text("msgspec==0.0.1 ; python_version < '4'\nno-such-package==1.0\n")
    missing, other = check_packages(needed, lock)
    assert missing.level is Level.PROBLEM
    assert "no-such-package is not installed" in missing.said
    assert other.level is Level.NOTE
    assert "instead of 0.0.1" in other.said
    for one in (missing, other):
        assert f"pip install -r {lock}" in one.remedy


def test_a_lock_with_a_version_per_python_accepts_each(tmp_path):
    needed, lock = tmp_path / "direct.in", tmp_path / "lock.txt"
    needed.write_text("numpy\n")
    version = __import__("numpy").__version__
    lock.write_text(f"numpy==0.1 ; python_version < '3'\nnumpy=={version}\n")
    assert [one.level for one in check_packages(needed, lock)] == [Level.OK]


def test_a_machine_without_tcpdump_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = check_capture(CaptureSettings())
    if found.level is Level.OK:
        pytest.skip("tcpdump is where it is always looked for")
    assert found.level is Level.NOTE
    assert "not installed" in found.said
    assert "apt-get install tcpdump" in found.remedy
    assert check_capture(CaptureSettings(use="required")).level is Level.PROBLEM
    assert check_capture(CaptureSettings(use="off")).level is Level.OK


@needs("tcpdump", "setpriv")
def test_a_user_who_may_not_capture_is_told(tmp_path):
    asked = (
        "from semgap.doctor.network import check_capture;"
        "from semgap.measurement.job_settings import CaptureSettings;"
        "found = check_capture(CaptureSettings(use='required'));"
        "print(found.level, found.said, found.remedy)"
    )
    without = ["setpriv", "--bounding-set=-net_raw,-net_admin", "--inh-caps=-all"]
    done = subprocess.run(
        [*(without if os.geteuid() == 0 else ()), sys.executable, "-c", asked],
        env={**os.environ, "PYTHONPATH": str(PROJECT / "scripts")},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("PROBLEM tcpdump cannot capture on 'lo'"), done
    # Where the transport may count instead, it is said once, before anything is measured.
    (tmp_path / "c.yaml").write_text("experiment: never\n")
    configs = (PROJECT / "config" / "default.yaml", tmp_path / "c.yaml")
    flags = ("--config", *configs, "--lock", ENVS / "lock-current.txt")
    program = [sys.executable, PROJECT / "scripts" / "doctor.py", *flags, "--problems"]
    before = subprocess.run(
        [*(without if os.geteuid() == 0 else ()), *program], capture_output=True, text=True
    )
    said = [line for line in before.stdout.splitlines() if " capture " in line]
    assert len(said) == 1, before
    assert "counted by the transport" in said[0]
    # Root without the right, in a container, is not told to be root.
    remedy = "capture.use to off" if os.geteuid() == 0 else "setcap cap_net_raw"
    assert remedy in done.stdout
    assert "run as root" not in done.stdout or os.geteuid() != 0


def test_a_taken_port_is_named_with_who_has_it():
    port = free_port("127.0.0.1")
    assert check_port(ServerSettings(port=port)).level is Level.OK
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        found = check_port(ServerSettings(port=port))
        assert found.level is Level.PROBLEM
        assert f"127.0.0.1:{port}" in found.said
        assert f"process {os.getpid()}" in found.said
        assert "server.port to 0" in found.remedy
        # An external server holds its port itself, and the default takes a free one.
        assert check_port(ServerSettings(port=port, launch="external")).level is Level.OK
        assert check_port(ServerSettings()).level is Level.OK
    assert check_port(ServerSettings(port=port)).level is Level.OK


@needs("mount")
def test_too_little_room_is_told(tmp_path):
    with mounted(tmp_path, "size=256k"):
        found = check_disk(tmp_path / "results", 1_000_000)
        assert found.level is Level.PROBLEM
        assert "snakemake --directory" in found.remedy
        assert check_disk(tmp_path / "results", 1_000).level is Level.OK
    assert check_disk(tmp_path / "results", 1_000_000).level is Level.OK


def test_too_little_memory_is_told():
    assert check_memory(1_000).level is Level.OK
    assert check_memory(10**15).level is Level.PROBLEM


@needs("mount")
def test_results_that_cannot_be_written_are_named(tmp_path):
    with mounted(tmp_path, "ro"):
        found = check_writable(tmp_path / "results")
        assert found.level is Level.PROBLEM
        assert "Read-only file system" in found.said
    assert check_writable(tmp_path / "results").level is Level.OK


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_told_where_the_configuration_wants_one():
    (found,) = check_gpu("cuda", 0)
    assert found.level is Level.PROBLEM
    assert "Set worker.device to 'cpu'" in found.remedy
    assert [one.level for one in check_gpu("cpu", 0)] == [Level.OK]


def test_a_missing_compiler_is_told_where_kernels_are_compiled(monkeypatch, tmp_path):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    compiles = WorkerSettings(device="cuda", engine="graph")
    (found,) = check_compiler(compiles)
    assert found.level is Level.NOTE
    assert "Debian: gcc" in found.remedy
    for other in (WorkerSettings(engine="graph"), WorkerSettings(device="cuda")):
        assert not list(check_compiler(other))
    compiler = tmp_path / "clang"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    assert [one.level for one in check_compiler(compiles)] == [Level.OK]
    monkeypatch.setenv("CC", "another")
    (found,) = check_compiler(compiles)
    assert "'another' is not there" in found.said


def test_a_machine_without_ss_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = by_subject(check_tools())["ss"]
    assert found.level is Level.NOTE
    assert "apt-get install iproute2" in found.remedy


def test_a_busy_machine_is_told():
    burners = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in os.sched_getaffinity(0)]
    try:
        time.sleep(0.2)
        found = by_subject(check_machine())["load"]
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    assert found.level is Level.NOTE
    assert "Measure when the machine is quiet" in found.remedy


def doctor(*arguments, python=(), folder=PROJECT):
    command = [sys.executable, *python, PROJECT / "scripts" / "doctor.py", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S)


def test_without_packages_each_is_named_and_nothing_else_is_looked_at():
    """As in an environment where none was installed."""
    done = doctor(
        *("--config", "config/default.yaml", "--lock", "envs/lock-current.txt"), python=("-S",)
    )
    assert done.returncode == 1
    assert done.stderr == ""
    for name in ("torch", "msgspec", "snakemake"):
        assert f"{name} is not installed" in done.stdout
    assert "port" not in done.stdout


def test_everything_is_examined(tmp_path):
    config = yaml.safe_load((PROJECT / "config" / "default.yaml").read_text())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config["server"] = {**config.get("server", {}), "port": taken.getsockname()[1]}
        (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
        flags = ("--config", tmp_path / "c.yaml", "--lock", ENVS / "lock-current.txt")
        done = doctor(*flags, "--others", PROJECT / "config" / "gptj-6b.yaml", folder=tmp_path)
        assert done.returncode == 1, done
        subjects = ("Python", "configuration", "load", "results", "disk", "capture", "GPU", "ss")
        for subject in subjects:
            assert f" {subject} " in done.stdout
        # The size of what is not downloaded is that of the recorded model of the same name.
        (row,) = (line for line in done.stdout.splitlines() if "gptj-6b.yaml" in line)
        assert "| cuda " in row
        assert "?" not in row


def test_a_wrong_configuration_is_named(tmp_path):
    (tmp_path / "c.yaml").write_text("experiment: x\nmodle: {}\n")
    done = doctor(
        "--config", tmp_path / "c.yaml", "--lock", ENVS / "lock-current.txt", "--problems"
    )
    assert done.returncode == 1
    assert done.stdout.startswith("PROBLEM  configuration")
    assert "modle" in done.stdout
    assert " Python " not in done.stdout  # which is well


def test_nothing_is_examined_once_all_is_measured(tmp_path):
    default, more = PROJECT / "config" / "default.yaml", tmp_path / "c.yaml"
    system = {"label": "S", "command": ["true"]}
    more.write_text(
        yaml.safe_dump(
            {"experiment": "x", "modes": ["local", "naive"], "systems": {"s": system}}
            | {"workload": {"repeats": {"local": 2, "naive": 1}}}
        )
    )
    runs = [
        tmp_path / "x" / name
        for name in (
            *("runs/local/rep1.json", "runs/local/rep2.json", "runs/naive/rep1.json"),
            *("systems/s/rep1.json", "systems/s/rep2.json"),
        )
    ]
    for run in runs:
        assert not is_measured([default, more], tmp_path)
        run.parent.mkdir(parents=True, exist_ok=True)
        run.touch()
    assert is_measured([default, more], tmp_path)
    for run in runs:
        run.unlink()
        assert not is_measured([default, more], tmp_path)
        run.touch()
    assert not is_measured([tmp_path / "none.yaml"], tmp_path)


def test_a_finding_is_a_line_and_its_remedy_another():
    from semgap.doctor import lines

    assert list(lines([Finding("port", Level.PROBLEM, "It is taken.", "Free it.")])) == [
        "PROBLEM  port             It is taken.",
        "                          -> Free it.",
    ]


def test_what_an_experiment_needs_follows_from_its_policies():
    config = read_config(PROJECT / "config" / "default.yaml")
    weights_bytes = 307_422_080
    assert weights_bytes_of(config, PROJECT / "results", ()) == weights_bytes
    needs = needs_of(config, weights_bytes)
    assert (needs.runs, needs.generations) == (12, 12 * 3)
    # naive: 3 runs of 3 generations of 6 passes; two modes more: at start-up, 3 runs each.
    assert needs.traffic_bytes == (3 * 3 * 6 + 2 * 3) * weights_bytes
    assert weights_bytes < needs.disk_bytes < 2 * weights_bytes
    assert needs.gpu_memory_bytes == 0
    assert 10 < duration_s(config, needs) < 1200


def test_an_engine_that_copies_weights_needs_room_for_them():
    config, weights_bytes = read_config(PROJECT / "config" / "gptj-6b-seeded.yaml"), 12 * 10**9
    graph = msgspec.structs.replace(
        config, worker=msgspec.structs.replace(config.worker, engine="graph")
    )
    once, twice = (needs_of(one, weights_bytes) for one in (config, graph))
    assert twice.gpu_memory_bytes - once.gpu_memory_bytes == weights_bytes
    assert twice.memory_bytes - once.memory_bytes == weights_bytes
