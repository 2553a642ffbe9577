"""The server's life: start, session, worker's death, client's death, idleness, stop."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time

import msgspec
import psutil
import pytest

from semgap.errors import ServerError, WorkerLostError
from semgap.meters.host import versions
from semgap.processes import OWNER_VARIABLE
from semgap.records import ServerEndpoint, write_record
from semgap.server import control
from semgap.server.lifecycle import ensure_server, log_file_of, stop_server
from semgap.settings import ServerSettings
from small_models import PROJECT

WAIT_S = 20
CLIENT_SCRIPT = """
import sys, time
sys.path.insert(0, {scripts!r})
from pathlib import Path
from semgap.session.base import WorkerSettings
from semgap.session.server import open_session
with open_session(WorkerSettings(Path({endpoint!r}), "cpu", 1)) as session:
    print("open", flush=True)
    {then}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def eventually(condition):
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def server(tmp_path):
    """The endpoint of a server that is not started yet, and its file."""
    settings = ServerSettings(
        host="127.0.0.1",
        port=free_port(),
        transport="torch_rpc",
        device="cpu",
        compute_threads=1,
        idle_timeout_s=60,
        start_timeout_s=60,
        step_timeout_s=30,
        external=False,
        secret_file=str(tmp_path / "secret"),
    )
    endpoint = ServerEndpoint(
        settings=settings,
        model_type="gptj",
        model_fingerprint="f",
        code="1",
        versions=versions(),
    )
    file = tmp_path / "endpoint.json"
    write_record(file, endpoint)
    yield endpoint, file
    stop_server(endpoint, file)


def with_settings(endpoint, **changed):
    settings = dataclasses.replace(endpoint.settings, **changed)
    return msgspec.structs.replace(endpoint, settings=settings)


def client_process(file, then, **variables):
    process = subprocess.Popen(
        [sys.executable, "-c", _script(file, then)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )
    assert process.stdout.readline() == "open\n", process.stderr.read()
    return process


def workers_of(pid):
    return [child for child in psutil.Process(pid).children() if child.status() != "zombie"]


def test_a_session_has_a_worker_of_its_own_and_leaves_nothing(server):
    endpoint, file = server
    pid = ensure_server(endpoint, file).pid
    with control.connect(endpoint) as connection:
        opened = control.ask(connection, control.OpenSession(), control.SessionOpened)
        assert [worker.pid for worker in workers_of(pid)] == [opened.worker_pid]
    assert eventually(lambda: not workers_of(pid))


def test_a_running_server_is_found_again(server):
    endpoint, file = server
    assert ensure_server(endpoint, file).pid == ensure_server(endpoint, file).pid


def test_a_vanished_server_is_started_again(server):
    endpoint, file = server
    first = ensure_server(endpoint, file)
    os.kill(first.pid, signal.SIGKILL)
    os.waitpid(first.pid, 0)
    assert ensure_server(endpoint, file).pid != first.pid


def test_a_server_of_other_code_is_replaced(server):
    endpoint, file = server
    first = ensure_server(endpoint, file)
    changed = msgspec.structs.replace(endpoint, code="2")
    write_record(file, changed)
    second = ensure_server(changed, file)
    assert (second.pid != first.pid, second.code) == (True, "2")


def test_an_external_server_is_never_started(server):
    endpoint, file = server
    with pytest.raises(ServerError, match="No server of this experiment answers"):
        ensure_server(with_settings(endpoint, external=True), file)


def test_a_taken_port_is_named(server):
    endpoint, file = server
    with (
        socket.create_server((endpoint.settings.host, endpoint.settings.port)),
        pytest.raises(
            ServerError, match=rf"cannot listen at 127.0.0.1:{endpoint.settings.port}.*server.port"
        ),
    ):
        ensure_server(with_settings(endpoint, start_timeout_s=20), file)


def test_a_stranger_is_refused(server, tmp_path):
    endpoint, file = server
    ensure_server(endpoint, file)
    (tmp_path / "guess").write_bytes(b"guess")
    with pytest.raises(ServerError, match="is not this experiment's server"):
        control.connect(with_settings(endpoint, secret_file=str(tmp_path / "guess")))
    assert ensure_server(endpoint, file).pid


def test_the_secret_is_the_owners_alone(server, tmp_path):
    endpoint, file = server
    ensure_server(endpoint, file)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_silent_connection_does_not_block_others(server):
    endpoint, file = server
    pid = ensure_server(endpoint, file).pid
    with socket.create_connection((endpoint.settings.host, endpoint.settings.port)):
        assert ensure_server(endpoint, file).pid == pid


def test_a_killed_worker_is_reported_with_its_signal(server):
    endpoint, file = server
    pid = ensure_server(endpoint, file).pid
    process = client_process(
        file,
        "time.sleep(1); from semgap.protocol import Ping; "
        "from semgap.transport.base import RequestMessage; "
        "session.channel.request(RequestMessage(Ping()))",
    )
    (worker,) = workers_of(pid)
    worker.kill()
    _, error = process.communicate(timeout=WAIT_S)
    assert WorkerLostError.__name__ in error
    assert "The worker was killed (SIGKILL" in error
    assert ensure_server(endpoint, file).pid == pid


def test_a_worker_that_cannot_start_says_why_at_once(server):
    endpoint, file = server
    no_gpu = with_settings(endpoint, device="cuda:7")
    write_record(file, no_gpu)
    ensure_server(no_gpu, file)
    with (
        control.connect(no_gpu) as connection,
        pytest.raises(ServerError, match=r"failed to start: worker\.device is 'cuda:7'"),
    ):
        control.ask(connection, control.OpenSession(), control.SessionOpened)


def test_a_client_that_leaves_before_its_worker_is_ready_costs_nothing(server):
    endpoint, file = server
    process = psutil.Process(ensure_server(endpoint, file).pid)
    time.sleep(0.5)
    descriptors = process.num_fds()
    for _ in range(5):
        with control.connect(endpoint) as connection:
            control.send(connection, control.OpenSession())
    assert eventually(lambda: not workers_of(process.pid) and process.num_fds() == descriptors)
    busy_s = sum(process.cpu_times()[:2])
    time.sleep(1)
    assert sum(process.cpu_times()[:2]) - busy_s < 0.5
    with control.connect(endpoint) as connection:
        control.ask(connection, control.OpenSession(), control.SessionOpened)
        with pytest.raises(ServerError, match="one session a connection"):
            control.ask(connection, control.OpenSession(), control.SessionOpened)
    assert eventually(lambda: process.num_fds() == descriptors)


def test_a_paused_worker_is_told_from_a_dead_one(server):
    endpoint, file = server
    impatient = with_settings(endpoint, step_timeout_s=2)
    write_record(file, impatient)
    pid = ensure_server(impatient, file).pid
    process = client_process(
        file,
        "time.sleep(1); from semgap.protocol import Ping; "
        "from semgap.transport.base import RequestMessage; "
        "session.channel.request(RequestMessage(Ping()))",
    )
    (worker,) = workers_of(pid)
    worker.suspend()
    _, error = process.communicate(timeout=WAIT_S)
    assert "The worker lives, but did not answer in time." in error
    assert eventually(lambda: not workers_of(pid))


def test_a_killed_client_takes_its_worker_along(server):
    endpoint, file = server
    pid = ensure_server(endpoint, file).pid
    process = client_process(file, "time.sleep(60)")
    assert len(workers_of(pid)) == 1
    process.kill()
    process.communicate()
    assert eventually(lambda: not workers_of(pid))


def test_a_killed_server_takes_its_workers_along(server):
    endpoint, file = server
    pid = ensure_server(endpoint, file).pid
    process = client_process(file, "time.sleep(60)")
    (worker,) = workers_of(pid)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert eventually(lambda: not worker.is_running() or worker.status() == "zombie")
    process.kill()
    process.communicate()


def test_an_idle_server_ends(server):
    endpoint, file = server
    pid = ensure_server(endpoint, file).pid
    stop_server(endpoint, file)
    os.waitpid(pid, 0)
    impatient = with_settings(endpoint, idle_timeout_s=0.5)
    write_record(file, impatient)
    pid = ensure_server(impatient, file).pid
    assert eventually(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid)
    assert "idle for 0.5 s: ending" in log_file_of(file).read_text()


def test_a_server_ends_with_its_owner(server, monkeypatch):
    endpoint, file = server
    owner = subprocess.Popen(["sleep", "60"])
    monkeypatch.setenv(OWNER_VARIABLE, str(owner.pid))
    pid = ensure_server(endpoint, file).pid
    owner.kill()
    owner.wait()
    assert eventually(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid)


def test_sessions_do_not_share_kv_caches(server, gptj):
    """A reference ID of one session means nothing to the worker of another."""
    endpoint, file = server
    ensure_server(endpoint, file)
    folder, manifest = gptj
    script = f"""
import torch
from pathlib import Path
from semgap.client import InferenceClient, KvCacheState
from semgap.model.weights import map_weights
from semgap.modes import policy_of
from semgap.records import Manifest, read_record
manifest = read_record(Path({str(folder.parent / "manifest.json")!r}), Manifest)
client = InferenceClient(
    session.channel, policy_of("semantic"), manifest, map_weights(Path({str(folder)!r}), manifest)
)
client.configure(); list(client.setup_steps())
tokens = torch.tensor([[1, 2, 3]])
_, state, _ = client.forward(tokens, KvCacheState(), 1)
print(state.reference_id, flush=True)
try:
    client.forward(tokens[:, :1], KvCacheState((), REFERENCE or state.reference_id), 1)
    print("computed", flush=True)
except Exception as error:
    print(type(error).__name__, flush=True)
sys.stdin.readline()
"""
    write_record(folder.parent / "manifest.json", manifest)
    indented = script.replace("\n", "\n    ")
    first = subprocess.Popen(
        [sys.executable, "-c", _script(file, indented.replace("REFERENCE", "None"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout.readline() == "open\n"
    reference_id = first.stdout.readline().strip()
    assert first.stdout.readline() == "computed\n"
    second = subprocess.run(
        [sys.executable, "-c", _script(file, indented.replace("REFERENCE", repr(reference_id)))],
        input="\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    first.communicate("\n", timeout=WAIT_S)
    assert first.returncode == 0
    assert second.stdout.splitlines()[-1] == "ReferenceIdError", second.stderr


def _script(file, then):
    return CLIENT_SCRIPT.format(scripts=str(PROJECT / "scripts"), endpoint=str(file), then=then)
