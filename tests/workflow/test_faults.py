"""What goes wrong is named, costs only its own job, leaves nothing behind, and can be continued."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time

import psutil
import pytest
import torch

from experiment import copy_project
from patience import PATIENCE_S
from plans import dry_run
from semgap.plumbing.tcp_sockets import free_port


@pytest.fixture
def experiment(tmp_path):
    return copy_project(tmp_path)


@pytest.fixture
def begun(finished, tmp_path):
    """A finished experiment of which two runs are still to be made."""
    experiment = finished.copy_to(tmp_path)
    for mode in ("naive", "semantic"):
        (experiment.results / "runs" / mode / "rep1.json").unlink()
    return experiment


def processes_in(folder):
    """Command lines of processes that work in a folder."""
    return [
        " ".join(process.info["cmdline"] or ())
        for process in psutil.process_iter(["cmdline", "cwd"])
        if process.info["cwd"] == str(folder)
    ]


def ends_empty(folder):
    deadline_s = time.monotonic() + 5 * PATIENCE_S
    while processes_in(folder) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return processes_in(folder) == []


def start(experiment, target="results/table.md"):
    # A killed Snakemake leaves its temporary files behind.
    temporary = experiment.folder / "temporary"
    temporary.mkdir(exist_ok=True)
    return subprocess.Popen(
        experiment.command(targets=(target,)),
        cwd=experiment.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
        start_new_session=True,
        # Whoever runs the tests in the background has SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def read_until(process, text):
    """Read a process's output up to a line that contains ``text``."""
    deadline_s = time.monotonic() + 5 * PATIENCE_S
    seen = ""
    while text not in seen:
        assert time.monotonic() < deadline_s, seen
        line = process.stdout.readline()
        assert line, seen
        seen += line
    return seen


def wait_for_log(process, experiment, run, text):
    """Wait until the log of a benchmark job says ``text``; jobs say little on the screen."""
    log = experiment.results / "logs" / "benchmark" / f"{run}.log"
    deadline_s = time.monotonic() + 5 * PATIENCE_S
    while not (log.exists() and text in log.read_text()):
        assert time.monotonic() < deadline_s
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)


def test_survived_a_killed_and_an_interrupted_run(begun):
    kept = {path: path.stat().st_mtime_ns for path in begun.results.glob("runs/*/*.json")}
    assert len(kept) == 6
    process = start(begun, "all")
    read_until(process, "Measuring naive, repeat 1")
    process.kill()
    process.wait()
    assert ends_empty(begun.folder)

    (begun.results / "logs" / "benchmark" / "naive.rep1.log").unlink(missing_ok=True)
    process = start(begun, "all")
    wait_for_log(process, begun, "naive.rep1", "the worker builds the model")
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=5 * PATIENCE_S)
    assert process.returncode != 0
    assert ends_empty(begun.folder)

    begun.build("all")
    assert ends_empty(begun.folder)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list(begun.results.glob("runs/*/*.json"))) == 8


def test_refused_a_second_run_in_one_folder(experiment):
    first = start(experiment)
    read_until(first, "Storing the weights")
    second = experiment.snakemake("--quiet", "all")
    assert second.returncode != 0
    assert "Another run is using this folder." in second.stdout
    os.killpg(first.pid, signal.SIGINT)
    first.communicate(timeout=5 * PATIENCE_S)
    assert ends_empty(experiment.folder)


def test_refused_a_port_that_is_taken(finished, tmp_path):
    experiment = finished.copy_to(tmp_path)
    for name in ("endpoint.json", "run-time.json"):
        (experiment.results / "server" / name).unlink()
    for mode in ("local", "semantic"):
        (experiment.results / "runs" / mode / "rep1.json").unlink()
    port = experiment.config["server"]["port"]
    with socket.create_server(("127.0.0.1", port)):
        done = experiment.snakemake(targets=["all"])
    assert done.returncode != 0
    assert f"cannot listen at 127.0.0.1:{port}" in done.stdout
    # The last lines of a failed run are the cause and the remedy, once.
    *_before, last = done.stdout.strip().splitlines()
    assert f"cannot listen at 127.0.0.1:{port}" in last
    assert "Set server.port to 0, a free port" in last
    assert len(list(experiment.results.glob("runs/local/*.json"))) == 2
    assert ends_empty(experiment.folder)


def test_survived_jobs_that_may_run_at_once(begun):
    """Two runs are missing; Snakemake starts both, and one waits for the other."""
    done = begun.snakemake("--cores", "2", "--set-threads", "benchmark=1")
    assert done.returncode == 0, done.stdout
    assert "measures on this machine: waiting for its end" in done.stdout
    spans = sorted(
        (run["started_unix_ns"], run["ended_unix_ns"])
        for run in (begun.record(mode, 1) for mode in ("naive", "semantic"))
    )
    assert spans[0][1] < spans[1][0]


def test_warned_of_repeats_that_the_configuration_leaves_out(finished, tmp_path):
    experiment = finished.copy_to(tmp_path)
    experiment.configure(workload={"repeats": 1})
    said = experiment.build()
    assert "4 measured repeats in results/tiny/runs are left out" in said


def test_refused_a_key_that_stands_twice_by_the_workflow(experiment):
    with experiment.config_file.open("a") as file:
        file.write("\nworkload: {repeats: 1}\n")
    done = experiment.snakemake("-n")
    assert done.returncode != 0
    assert "the key 'workload' stands twice" in done.stdout


def test_survived_a_snakefile_that_is_reached_by_a_link(experiment, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "Snakefile").symlink_to(experiment.folder / "Snakefile")
    assert "benchmark:local.1" in dry_run(elsewhere).jobs


def test_refused_a_folder_whose_name_is_a_wildcard(tmp_path):
    folder = tmp_path / "a{b}"
    folder.mkdir()
    done = copy_project(folder).snakemake("-n")
    assert done.returncode != 0
    assert "There is a brace in the path" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("workload", {"decode_stps": 5}, "no key 'workload.decode_stps'. Did you mean"),
        ("model", {"dtype": "float64"}, "'model.dtype' is 'float64'"),
    ],
)
def test_a_wrong_configuration_stops_before_any_job(experiment, section, values, message):
    experiment.configure(**{section: values})
    done = experiment.snakemake()
    assert done.returncode != 0
    assert message in done.stdout
    assert not experiment.results.exists()


def test_a_prompt_beyond_the_context_is_named(finished, tmp_path):
    experiment = finished.copy_to(tmp_path)
    experiment.configure(workload={"prompt_tokens": 64})
    done = experiment.snakemake(targets=["results/tiny/model/prompt.json"])
    assert done.returncode != 0
    assert "the context of tiny holds 64" in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_refused_a_gpu_that_is_not_there(finished, tmp_path):
    experiment = finished.copy_to(tmp_path)
    experiment.configure(worker={"device": "cuda"})
    done = experiment.snakemake("--quiet", "all")
    assert done.returncode != 0
    assert "PyTorch sees no CUDA device on this machine. Set worker.device" in done.stdout
    assert "Measuring" not in done.stdout
    # What measures nothing needs no GPU.
    assert experiment.snakemake("--touch").returncode == 0
    prompt = experiment.results / "model" / "prompt.json"
    prompt.unlink()
    experiment.build("results/tiny/model/prompt.json")
    assert prompt.exists()


def test_refused_a_run_without_its_external_server(finished, tmp_path):
    experiment = finished.copy_to(tmp_path)
    experiment.configure(server={"launch": "external", "port": free_port("127.0.0.1")})
    endpoint = experiment.results / "server" / "endpoint.json"
    endpoint.unlink()
    done = experiment.snakemake()
    assert done.returncode != 0
    assert "the server is not described yet" in done.stdout
    described = experiment.build("results/tiny/server/endpoint.json")
    command = re.search(r"you start the server, in this folder: (.*)", described)[1]
    done = experiment.snakemake()
    assert done.returncode != 0
    assert done.stdout.count("No server of this experiment answers") == 1
    assert command in done.stdout
    assert "Measuring" not in done.stdout


def test_refused_strangers_at_the_workers_port(finished, tmp_path):
    """Over PyTorch RPC, whose store takes whoever comes and goes on listening."""
    experiment = finished.copy_to(tmp_path)
    (experiment.results / "runs" / "semantic" / "rep1.json").unlink()
    (experiment.results / "logs" / "benchmark" / "semantic.rep1.log").unlink(missing_ok=True)
    process = start(experiment)
    wait_for_log(process, experiment, "semantic.rep1", "the worker builds the model")
    server_log = (experiment.results / "server" / "server.log").read_text()
    port = int(re.findall(r"for a session at port (\d+)", server_log)[-1])
    end_s = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < end_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as sender:
            sender.sendall(bytes(64_000))
        # Several in each phase's window; the store keeps what comes, and a flood fills the memory.
        time.sleep(0.005)
    said = process.communicate(timeout=5 * PATIENCE_S)[0]
    assert process.returncode != 0, said
    assert re.search(r"somebody else (connected to its session|used the session's ports)", said)
    assert not (experiment.folder / "results" / "table.md").exists()
    assert ends_empty(experiment.folder)
