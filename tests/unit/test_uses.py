"""What machines, mounts, containers and users do: refused, warned of or survived, by each name.

`make docs` lists tests whose names begin with one of these words in docs/faults.md.
"""

import ctypes
import errno
import fcntl
import multiprocessing
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pynvml
import pytest

from patience import PATIENCE_S
from recorded import unpacked
from sample_runs import phase, run
from sample_table import recorded
from semgap.analysis import publish
from semgap.analysis.claims import load_claims
from semgap.analysis.figures import save
from semgap.analysis.figures.time_line import time_line
from semgap.analysis.gates.consistency import check_consistency
from semgap.analysis.numbers.run_order import apart, order_text, overlapping
from semgap.analysis.reports.provenance import provenance_markdown
from semgap.analysis.reports.warnings import warnings
from semgap.errors import ConfigError, RunningError, SemgapError
from semgap.maintain.archive import REFERENCE
from semgap.measurement.run_record import RunRecord
from semgap.meters.client_sockets import ClientSockets
from semgap.meters.cpu_throttling import CpuThrottling
from semgap.meters.gpu_dmon import dmon_rows
from semgap.model.weights import write_shards
from semgap.pipeline.config import load_config, read_config
from semgap.plumbing import exclusive, limits, nvml, processes, tcp_sockets
from semgap.plumbing.exclusive import Claim, FolderLock, is_used
from semgap.plumbing.files import (
    free_bytes_of,
    read_record,
    read_rows,
    write_atomically,
    write_record,
)
from semgap.plumbing.processes import describe_code, open_exit
from semgap.plumbing.provenance import checkout_of, package_versions
from semgap.plumbing.tcp_sockets import sockets_of
from semgap.policy import Label
from semgap.progress import causes_in
from small_models import PROJECT

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
replace = msgspec.structs.replace
FORK = multiprocessing.get_context("fork")


def refusing(number):
    """A system call that answers with an error."""

    def call(*_arguments, **_named):
        raise OSError(number, os.strerror(number))

    return call


# One measurement at a time


def hold(name, told):
    claim = Claim(name)
    assert claim.take()
    told.put(os.getpid())
    time.sleep(PATIENCE_S)


@pytest.fixture
def holder():
    """A process that holds a claim, and the claim's name."""
    name, told = f"test.{os.getpid()}", FORK.Queue()
    process = FORK.Process(target=hold, args=(name, told), daemon=True)
    process.start()
    assert told.get(timeout=PATIENCE_S) == process.pid
    yield name, process
    process.kill()
    process.join()


def test_survived_a_second_measurement_which_waits_for_the_first(holder):
    name, process = holder
    claim, waited_for = Claim(name), []
    assert not claim.take()
    assert claim.holder() == process.pid
    assert not claim.wait(timeout_s=0.1)

    def end(pid):
        waited_for.append(pid)
        process.kill()

    assert claim.wait(None, end)
    assert waited_for == [process.pid]
    claim.release()
    assert claim.holder() is None


def test_survived_many_who_ask_who_measures(holder):
    """The holder answers nobody, so what was asked stays in the kernel's queue."""
    name, _process = holder
    for _ in range(socket.SOMAXCONN + 10):
        assert Claim(name).holder() is not None


def test_refused_a_table_of_runs_that_overlapped(tmp_path):
    local, semantic = run("local"), run("semantic")
    begun = local.started_unix_ns + 3_000_000_000
    during = replace(
        semantic,
        started_unix_ns=begun,
        phases=tuple(
            phase(one.name, begun // 10**9 + at)
            for one, at in zip(semantic.phases, (1, 3, 5), strict=True)
        ),
    )
    assert not list(overlapping([semantic, local]))
    (found,) = overlapping([during, local])
    assert found == (local, during)
    from test_consistency import written

    with pytest.raises(SemgapError, match=r"semantic, repeat 1 began .* s before local, repeat 1"):
        check_consistency([written(tmp_path, local), written(tmp_path, during)])


def test_warned_of_rounds_that_were_not_measured_together():
    """All of local first, then the others: what Snakemake makes of a server that fails once."""
    in_rounds = [run(mode, repeat) for mode in ("local", "semantic") for repeat in (1, 2)]
    assert order_text(in_rounds).startswith("interleaved")
    assert not list(apart(in_rounds))
    shifted = [later(run("semantic", repeat), 5_000) for repeat in (1, 2)]
    torn = [run("local", 1), run("local", 2), *shifted]
    assert order_text(torn).startswith("not interleaved")
    assert "came local, repeat 2" in next(apart(torn))
    waited = [run("local", 1), later(run("semantic", 1), 5_000)]
    assert any("began 88 min after local, repeat 1 had ended" in said for said in apart(waited))
    assert any("not measured together" in said for said in warnings([], torn))


def later(record, seconds):
    ns = seconds * 10**9
    phases = tuple(
        replace(
            one,
            begin_ns=one.begin_ns + ns,
            end_ns=one.end_ns + ns,
            begin_unix_ns=one.begin_unix_ns + ns,
            end_unix_ns=one.end_unix_ns + ns,
        )
        for one in record.phases
    )
    return replace(record, started_unix_ns=record.started_unix_ns + ns, phases=phases)


# What could not be found out


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one commit, for a user without settings of git."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    (tmp_path / "Snakefile").write_text("rule all:\n")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "a.py").write_text("")
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True)
    return tmp_path


@needs_root
def test_warned_of_a_checkout_that_belongs_to_somebody_else(checkout):
    os.chown(checkout, 12345, 12345)
    found = checkout_of(checkout)
    assert (found.commit, found.dirty) == ("", None)
    assert "dubious ownership" in found.no_commit
    provenance = replace(run().provenance, commit="", dirty=None, no_commit=found.no_commit)
    text = provenance_markdown(recorded(run(provenance=provenance)))
    assert "unknown: git says" in text
    assert "| unknown " in text.split("Changed since the commit")[1].splitlines()[0]


def test_warned_of_code_that_is_not_in_the_commit(checkout):
    assert checkout_of(checkout).dirty is False
    (checkout / "scripts" / "new.py").write_text("")
    assert checkout_of(checkout).dirty is True


def test_warned_of_a_checkout_whose_index_cannot_be_read(checkout):
    (checkout / ".git" / "index").write_bytes(b"no index")
    assert checkout_of(checkout).dirty is None


def test_survived_a_package_that_a_job_does_not_need_and_lacks(tmp_path):
    (tmp_path / "names").write_text("msgspec\nno-such-package-at-all\n")
    assert set(package_versions(tmp_path / "names")) == {"msgspec"}


# A file that says two things


def test_refused_a_key_that_stands_twice_in_a_configuration(tmp_path):
    file = tmp_path / "twice.yaml"
    default = (PROJECT / "config" / "default.yaml").read_text()
    file.write_text(default + "\nworkload: {repeats: 1}\nworkload: {decode_steps: 2}\n")
    with pytest.raises(ConfigError, match=r"the key 'workload' stands twice.*line"):
        read_config(file)
    file.write_text("claims:\n- {id: C1, id: C2, kind: answers, sentence: s, at_most: 0}\n")
    with pytest.raises(ConfigError, match="the key 'id' stands twice"):
        load_claims(file)


def test_refused_a_key_that_stands_twice_in_a_record_or_a_column_in_a_csv(tmp_path):
    file = tmp_path / "record.json"
    write_record(file, run())
    file.write_text(file.read_text().replace('"mode":', '"mode": "local", "mode":', 1))
    with pytest.raises(SemgapError, match="the key 'mode' stands twice"):
        read_record(file, RunRecord)
    (tmp_path / "rows.csv").write_text("mode,mode\na,b\n")
    with pytest.raises(SemgapError, match="two columns of one name"):
        read_rows(tmp_path / "rows.csv", Label)


# Users other than root


PR_SET_DUMPABLE = 4


def list_sockets_as_nobody(told):
    """With a child that is closed to this user, as tcpdump with file capabilities is."""
    prctl = ctypes.CDLL(None).prctl
    os.setuid(pwd.getpwnam("nobody").pw_uid)
    prctl(PR_SET_DUMPABLE, 1)
    child = os.fork()
    if child == 0:
        prctl(PR_SET_DUMPABLE, 0)
        signal.pause()
    while os.access(f"/proc/{child}/fd", os.R_OK):
        time.sleep(0.01)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        try:
            told.put(listening.getsockname()[1] in sockets_of(os.getpid()).listening_ports)
        except psutil.Error as error:
            told.put(repr(error))
        finally:
            os.kill(child, signal.SIGKILL)


@needs_root
def test_survived_a_child_that_may_not_be_looked_into():
    told = FORK.Queue()
    process = FORK.Process(target=list_sockets_as_nobody, args=(told,), daemon=True)
    process.start()
    assert told.get(timeout=PATIENCE_S) is True
    process.join()


# Numbers that are 0 where nobody knows


@needs_root
def test_survived_a_file_system_that_does_not_say_how_large_it_is(tmp_path):
    if subprocess.run(["mount", "-t", "ramfs", "ramfs", tmp_path]).returncode:
        pytest.skip("no file system can be mounted")
    try:
        assert free_bytes_of(tmp_path) is None
        write_atomically(tmp_path / "file", b"content")
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert free_bytes_of(tmp_path) > 0


def test_survived_a_kernel_that_counts_no_bytes_of_sockets(monkeypatch):
    meter = ClientSockets()
    with meter:
        pass
    assert meter.read(0, 0) != {}
    monkeypatch.setattr(tcp_sockets, "_WHOLE", 104)
    tcp_sockets.kernel_counts_bytes.cache_clear()
    assert meter.read(0, 0) == {}
    monkeypatch.undo()
    tcp_sockets.kernel_counts_bytes.cache_clear()


# System calls and attributes that are not everywhere


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_survived_a_kernel_without_pidfd_open(monkeypatch, number):
    monkeypatch.setattr(os, "pidfd_open", refusing(number))
    with subprocess.Popen(["sleep", "1000"]) as process:
        exited = open_exit(process.pid)
        os.set_blocking(exited, False)
        with pytest.raises(BlockingIOError):
            os.read(exited, 1)
        process.kill()
        os.set_blocking(exited, True)
        assert os.read(exited, 1) == b"x"
        os.close(exited)


def test_survived_an_owner_that_is_gone_without_pidfd_open(monkeypatch):
    monkeypatch.setattr(os, "pidfd_open", refusing(errno.ENOSYS))
    with subprocess.Popen(["true"]) as process:
        process.wait()
    monkeypatch.setenv(processes.OWNER_VARIABLE, str(process.pid))
    assert os.read(processes.open_owner(), 1) == b"x"


@pytest.mark.parametrize("owner", ["an ancestor", "nobody's", "somebody else's"])
def test_an_owner_that_is_no_ancestor_is_none(owner):
    """A job of a cluster inherits the variable from a process of another machine."""
    with subprocess.Popen(["sleep", "1000"]) as other:
        pid = {"an ancestor": os.getpid(), "nobody's": None, "somebody else's": other.pid}[owner]
        adopts = (
            "import os; from pathlib import Path; from semgap.plumbing import processes as p;"
            "p.adopt_jobs(Path('x')); print(os.environ[p.OWNER_VARIABLE], os.getpid())"
        )
        environment = {**os.environ, "PYTHONPATH": str(PROJECT / "scripts")}
        environment.pop(processes.OWNER_VARIABLE, None)
        if pid is not None:
            environment[processes.OWNER_VARIABLE] = str(pid)
        said = subprocess.check_output([sys.executable, "-c", adopts], env=environment, text=True)
        other.kill()
    found, itself = map(int, said.split())
    assert found == (pid if owner == "an ancestor" else itself)


def test_survived_a_mount_that_refuses_modes_and_syncs(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "chmod", refusing(errno.EPERM))
    monkeypatch.setattr(os, "fsync", refusing(errno.EINVAL))
    write_atomically(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_survived_a_file_system_without_locks(monkeypatch, tmp_path, number):
    monkeypatch.setattr(fcntl, "flock", refusing(number))
    first, second = (FolderLock(tmp_path / ".snakemake" / "run.lock") for _ in range(2))
    first.acquire()
    assert is_used(tmp_path / ".snakemake")
    with pytest.raises(RunningError, match="Another run is using this folder"):
        second.acquire()


def test_survived_a_library_that_writes_files_for_their_owner_alone(tmp_path):
    import torch

    before = os.umask(0o022)
    try:
        (name,) = write_shards(tmp_path, {"w": 16}, lambda _name: torch.zeros(4))
    finally:
        os.umask(before)
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o644


# A user's preferences


def test_survived_a_users_backend_and_look_of_figures(tmp_path):
    """The figure is the recorded one to the byte."""
    (tmp_path / "matplotlibrc").write_text("axes.facecolor: red\nfont.size: 30\n")
    folder = unpacked("mini-tcp")
    figure = tmp_path / "time-line.svg"
    numbers = [folder / f"{name}.csv" for name in publish.NUMBERS]
    done = subprocess.run(
        [
            *(sys.executable, PROJECT / "scripts" / "draw_figures.py"),
            *("--expectation", folder / "expectation.json", "--figures", figure),
            *("--manifest", folder / "manifest.json", "--numbers", *numbers),
            *("--runs", *sorted((folder / "runs").glob("*/*.json"))),
        ],
        env={
            **os.environ,
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "MATPLOTLIBRC": str(tmp_path),
            "PYTHONWARNINGS": "ignore",
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert figure.read_bytes() == (REFERENCE / "mini-tcp" / "time-line.svg").read_bytes()


def test_survived_a_label_with_dollars(tmp_path):
    record = read_record(unpacked("mini-tcp") / "runs" / "local" / "rep1.json", RunRecord)
    labels = {"local": Label(r"costs $5, or $\nothing")}
    save(time_line(recorded(record, labels=labels)), tmp_path / "x.svg")
    assert (tmp_path / "x.svg").stat().st_size > 1000


# A GPU that tells nothing


@pytest.mark.parametrize("error", [pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_NoPermission])
@pytest.mark.parametrize("refuses", ["nvmlInit", "nvmlDeviceGetHandleByUUID", "numbers"])
def test_survived_a_gpu_library_that_is_missing_or_forbids(monkeypatch, error, refuses):
    def refuse(*_arguments):
        raise error

    for name in ("nvmlInit", "nvmlShutdown", "nvmlDeviceGetHandleByUUID"):
        monkeypatch.setattr(pynvml, name, lambda *_arguments: "a handle")
    for name in ("ClockInfo", "UtilizationRates", "MigMode", "ComputeRunningProcesses"):
        monkeypatch.setattr(pynvml, f"nvmlDeviceGet{name}", refuse)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", refuse)
    monkeypatch.setattr(pynvml, "nvmlSystemGetDriverVersion", refuse)
    if refuses != "numbers":
        monkeypatch.setattr(pynvml, refuses, refuse)
    with nvml.opened_gpu("GPU-0") as gpu:
        assert gpu.sm_clock_mhz() is gpu.utilisation_percent() is gpu.energy_j() is None
        assert gpu.processes() is gpu.partitioned() is None
    assert nvml.driver_version() == ""


def test_survived_cells_of_dmon_that_are_no_numbers():
    assert list(dmon_rows(["# gpu sm", "# Idx %", "0 N/A", "0 [N/A]", "0 37"])) == [
        {("gpu", "Idx"): 0.0},
        {("gpu", "Idx"): 0.0},
        {("gpu", "Idx"): 0.0, ("sm", "%"): 37.0},
    ]


# Names that become paths


SEEDED = {"name": "m", "weights": "seeded", "architecture": {"model_type": "gptj"}}


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"experiment": "nl\n"}, "'experiment' is 'nl"),
        ({"experiment": "x" * 300}, "'experiment' is"),
        ({"model": {**SEEDED, "name": "模" * 300}}, "'model.name' is"),
        ({"model": {"name": "m", "weights": "folder", "folder": "/a/{b}"}}, "'model.folder' is"),
        ({"worker": {"device": "cpu\n"}}, "'worker.device' is"),
        ({"worker": {"compute_threads": 10**9}}, "'worker.compute_threads' is"),
        ({"server": {"port": 80}}, r"'server.port' is 80.*0, a free one"),
    ],
)
def test_refused_names_and_numbers_that_nothing_can_be_made_of(values, match):
    with pytest.raises(ConfigError, match=match):
        load_config({"experiment": "e", "model": SEEDED, **values})


# Limits of the container


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Writes a file of the control group around this process."""
    monkeypatch.setattr(limits, "_MOUNT", tmp_path)
    membership = tmp_path / "membership"
    membership.write_text("0::/\n")
    monkeypatch.setattr(limits, "_MEMBERSHIP", membership)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    return lambda name, text: (tmp_path / name).write_text(f"{text}\n")


def test_survived_half_a_core_and_little_memory(groups):
    assert limits.usable_cores() == 4
    assert limits.throttled_s() is None
    groups("cpu.max", "max 100000")
    assert limits.usable_cores() == 4
    groups("cpu.max", "50000 100000")
    assert limits.usable_cores() == 0.5
    assert limits.threads_or_all_cores(0) == 1
    groups("memory.max", 600_000_000)
    groups("memory.current", 100_000_000)
    assert limits.usable_memory_bytes() == 600_000_000
    assert limits.available_memory_bytes() == 500_000_000


def test_warned_of_a_processor_quota_that_is_used_up(groups):
    groups("cpu.stat", "nr_periods 5\nnr_throttled 1\nthrottled_usec 1000000")
    meter = CpuThrottling()
    with meter:
        groups("cpu.stat", "nr_periods 9\nnr_throttled 3\nthrottled_usec 1250000")
    readings = meter.read(0, 1)
    assert readings == {"cpu_throttled_s": pytest.approx(0.25)}
    record = run("local")
    throttled = tuple(
        replace(one, readings=one.readings | {"cpu_throttling": dict(readings)})
        for one in record.phases
    )
    (said,) = warnings([], [replace(record, phases=throttled)])
    assert "quota was used up in 2 timed phases" in said


def test_survived_a_limit_on_the_size_of_files_with_a_sentence():
    assert "ulimit -f" in describe_code(-signal.SIGXFSZ)


# What a failed run says last


def test_survived_a_failure_whose_cause_is_its_last_line(tmp_path):
    log = tmp_path / "job.log"
    log.write_text(
        "2026-01-01 10:00:00,000 INFO semgap: begun\n"
        "2026-01-01 10:00:01,000 ERROR semgap: ERROR: The cause. The remedy.\n"
        "Traceback (most recent call last):\n"
    )
    assert list(causes_in(log)) == ["The cause. The remedy."]
    assert list(causes_in(tmp_path / "none.log")) == []


def test_survived_waiting_when_the_claim_is_bound_and_nobody_listens_yet(monkeypatch):
    name = f"bound.{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"\0semgap.{name}")
        monkeypatch.setattr(exclusive, "_RETRY_S", 0.01)
        assert not Claim(name).wait(timeout_s=0.1)
    assert Claim(name).wait(timeout_s=PATIENCE_S)


def test_survived_looking_for_sockets_of_a_process_without_any():
    with subprocess.Popen(["sleep", "100"]) as process:
        assert sockets_of(process.pid).connections == ()
        process.kill()


def test_the_page_of_faults_is_written_from_these_names():
    written = subprocess.check_output(
        [sys.executable, "-c", "from semgap.maintain import faults; print(faults.page(), end='')"],
        env={**os.environ, "PYTHONPATH": str(PROJECT / "scripts")},
        text=True,
        encoding="utf-8",
    )
    assert (PROJECT / "docs" / "faults.md").read_text(encoding="utf-8") == written, "run: make docs"


def test_refused_a_configuration_that_does_not_exist():
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(Path("no/such/file.yaml"))
