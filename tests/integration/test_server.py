"""The server's life: start, session, worker's death, client's death, idleness, stop."""

import contextlib
import itertools
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest
import torch

from forks import FORKS
from patience import PATIENCE_S
from running_server import wait_for_listener
from semgap.errors import SemgapError, ServerError, WorkerLostError
from semgap.inference.client import InferenceClient
from semgap.inference.worker_settings import WorkerSettings
from semgap.model.weights import map_weights
from semgap.modes import policy_of
from semgap.placements import Held
from semgap.plumbing.files import read_record, write_record
from semgap.plumbing.processes import OWNER_VARIABLE
from semgap.plumbing.tcp_sockets import free_port
from semgap.plumbing.versions import versions
from semgap.protocol import ReadMeters
from semgap.server import control
from semgap.server.endpoint import RunTime, ServerEndpoint, ServerJob, ServerSettings
from semgap.server.lifecycle import ensure_server, log_file_of, stop_server
from semgap.session.server import open_session
from semgap.transport import RequestMessage
from small_models import PROJECT


def eventually(condition):
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        if condition():
            return True
        time.sleep(0.05)
    return False


def has_ended(pid):
    """Whether a process is gone, or waits for nothing but its parent to hear of it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def described_in(folder):
    """An endpoint whose server is not started, and its file."""
    settings = ServerSettings(
        port=free_port("127.0.0.1"),
        idle_timeout_s=PATIENCE_S,
        start_timeout_s=PATIENCE_S,
        step_timeout_s=6,
    )
    endpoint = ServerEndpoint(
        settings=settings,
        worker=WorkerSettings(compute_threads=1),
        run_time_file=str(folder / "run-time.json"),
        model_type="gptj",
        model_fingerprint="f",
        code="1",
    )
    write_record(folder / "endpoint.json", endpoint)
    return endpoint, folder / "endpoint.json"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The endpoint of a running server, which tests must leave running, and its file."""
    endpoint, file = described_in(tmp_path_factory.mktemp("server"))
    ensure_server(endpoint, file)
    yield endpoint, file
    stop_server(endpoint, file)


@pytest.fixture
def own(tmp_path):
    """The endpoint of a server of the test's own, which is not started yet, and its file."""
    endpoint, file = described_in(tmp_path)
    yield endpoint, file
    stop_server(endpoint, file)


def with_settings(endpoint, **changed):
    settings = msgspec.structs.replace(endpoint.settings, **changed)
    return msgspec.structs.replace(endpoint, settings=settings)


def _hold_session(file, act, connection):
    try:
        with open_session(WorkerSettings(), file) as session:
            connection.send("open")
            connection.send(act(session, connection))
    except SemgapError as error:
        connection.send(f"{type(error).__name__}: {error}")


@pytest.fixture
def client():
    """Starts a client in a process of its own, which opens a session and then acts."""
    started = []

    def start(file, act):
        mine, theirs = FORKS.Pipe()
        process = FORKS.Process(target=_hold_session, args=(file, act, theirs), daemon=True)
        process.start()
        theirs.close()
        started.append((process, mine))
        assert mine.poll(PATIENCE_S)
        assert mine.recv() == "open"
        return process, mine

    yield start
    for process, connection in started:
        connection.close()
        process.kill()
        process.join()


def answer_of(connection):
    assert connection.poll(PATIENCE_S)
    return connection.recv()


def ask_when_told(session, connection):
    connection.recv()
    session.channel.request(RequestMessage(ReadMeters()))


def wait(_session, connection):
    connection.recv()


def workers_of(pid):
    return [child for child in psutil.Process(pid).children() if not has_ended(child.pid)]


def test_a_session_has_a_worker_of_its_own_and_leaves_nothing(server):
    endpoint, file = server
    pid = ensure_server(endpoint, file).pid
    with control.connect(endpoint) as connection:
        control.ask(connection, control.OpenSession(), control.SessionOpened)
        assert len(workers_of(pid)) == 1
    assert eventually(lambda: not workers_of(pid))


def test_a_running_server_is_found_again(server):
    endpoint, file = server
    assert ensure_server(endpoint, file).pid == ensure_server(endpoint, file).pid


def test_a_server_that_was_started_for_something_else_is_replaced(own):
    endpoint, file = own
    first = ensure_server(endpoint, file)
    no_gpu = msgspec.structs.replace(endpoint, worker=WorkerSettings(device="cuda:7"))
    write_record(file, no_gpu)
    second = ensure_server(no_gpu, file)
    assert (second.pid != first.pid, second.endpoint) == (True, no_gpu)
    # Its workers cannot start, and say why at once.
    with (
        control.connect(no_gpu) as connection,
        pytest.raises(ServerError, match=r"failed: worker\.device is 'cuda:7'"),
    ):
        control.ask(connection, control.OpenSession(), control.SessionOpened)


@pytest.fixture
def external(own):
    """The endpoint of a server that is external and not started, its file, how it is started."""
    endpoint, file = own
    endpoint = with_settings(endpoint, launch="external")
    write_record(file, endpoint)
    with contextlib.ExitStack() as stack:

        def start(*prefix):
            with pytest.raises(ServerError, match="No server of this experiment runs") as told:
                ensure_server(endpoint, file)
            command = shlex.split(told.value.remedy.partition("in this folder: ")[2])
            server = stack.enter_context(subprocess.Popen([*prefix, *command]))
            stack.callback(server.kill)
            wait_for_listener(endpoint.settings.host, endpoint.settings.port)
            return server

        yield endpoint, file, start


def test_the_rule_of_an_external_server_describes_it_and_starts_nothing(own, gptj):
    endpoint, file = own
    file.unlink()
    write_record(file.with_name("manifest.json"), gptj[1])
    job = ServerJob(with_settings(endpoint, launch="external").settings, endpoint.worker)
    flags = {
        "--endpoint": file,
        "--manifest": file.with_name("manifest.json"),
        "--code": "1",
        "--settings": msgspec.json.encode(job).decode(),
    }
    script = PROJECT / "scripts" / "rpc_server.py"
    command = [sys.executable, script, "start", *itertools.chain(*flags.items())]
    subprocess.run(command, check=True)
    assert read_record(file, ServerEndpoint).settings.launch == "external"
    assert not Path(endpoint.run_time_file).exists()


def test_an_external_server_that_no_way_leads_to_is_named(own):
    endpoint, file = own
    write_record(Path(endpoint.run_time_file), RunTime(29610, "of an earlier run"))
    nowhere = with_settings(endpoint, launch="external", host="255.255.255.255")
    with pytest.raises(ServerError, match=r"answers at 255\.255\.255\.255.*you start the server"):
        ensure_server(nowhere, file)


def test_an_external_server_is_started_as_told_and_never_by_a_job(external, client, monkeypatch):
    endpoint, file, start = external
    server = start()
    _process, connection = client(file, ask_when_told)
    connection.send("ask")
    assert answer_of(connection) is None
    for changed in ({"code": "2"}, {"worker": WorkerSettings(compute_threads=2)}):
        with pytest.raises(ServerError, match=r"was started with other settings or code.*Stop it"):
            ensure_server(msgspec.structs.replace(endpoint, **changed), file)
    with monkeypatch.context() as upgraded:
        there = msgspec.structs.replace(versions(), torch="99.0")
        upgraded.setattr("semgap.server.lifecycle.versions", lambda: there)
        with pytest.raises(ServerError, match=r"has loaded .*, and this process .*torch 99.0"):
            ensure_server(endpoint, file)
    stop_server(endpoint, file)
    assert ensure_server(endpoint, file).pid == server.pid


def test_a_taken_port_is_named(own):
    endpoint, file = own
    with (
        socket.create_server((endpoint.settings.host, endpoint.settings.port)),
        pytest.raises(
            ServerError, match=rf"cannot listen at 127.0.0.1:{endpoint.settings.port}.*server.port"
        ),
    ):
        ensure_server(with_settings(endpoint, start_timeout_s=PATIENCE_S), file)


def test_a_stranger_is_refused(server, tmp_path):
    endpoint, file = server
    ensure_server(endpoint, file)
    run_time = read_record(Path(endpoint.run_time_file), RunTime)
    guess = tmp_path / "guess"
    write_record(guess, msgspec.structs.replace(run_time, secret="guess"))
    with pytest.raises(ServerError, match="is not this experiment's server"):
        control.connect(msgspec.structs.replace(endpoint, run_time_file=str(guess)))
    assert ensure_server(endpoint, file).pid


def test_the_secret_is_the_owners_alone(server):
    _endpoint, file = server
    assert file.with_name("run-time.json").stat().st_mode & 0o777 == 0o600


def test_silent_and_slow_connections_block_nobody(server):
    endpoint, file = server
    pid = ensure_server(endpoint, file).pid
    address = (endpoint.settings.host, endpoint.settings.port)
    with contextlib.ExitStack() as open_:
        strangers = [open_.enter_context(socket.create_connection(address)) for _ in range(25)]
        begin_s = time.monotonic()
        for _ in range(10):
            with contextlib.suppress(OSError):
                strangers[-1].send(b"x")
            assert ensure_server(endpoint, file).pid == pid
        # If each had to be hung up on first, it would take longer by 25 times 3 s.
        assert time.monotonic() - begin_s < 60
        # Who proves nothing is hung up on.
        strangers[0].settimeout(PATIENCE_S)
        assert b"#CHALLENGE#" in strangers[0].recv(256)
        assert strangers[0].recv(64) == b""


def test_a_listener_that_says_nothing_is_not_waited_for(own):
    endpoint, file = own
    run_time = RunTime(endpoint.settings.port, "of an earlier run")
    write_record(Path(endpoint.run_time_file), run_time)
    patient = with_settings(endpoint, start_timeout_s=100_000)
    with socket.create_server((endpoint.settings.host, endpoint.settings.port)):
        with pytest.raises(ServerError, match=r"cannot listen at.*server.port"):
            ensure_server(patient, file)
        stop_server(endpoint, file)


def test_a_stopped_server_is_ended(own):
    endpoint, file = own
    pid = ensure_server(endpoint, file).pid
    os.kill(pid, signal.SIGSTOP)
    stop_server(endpoint, file)
    assert eventually(lambda: has_ended(pid))


def test_a_server_whose_secret_is_gone_is_ended_and_replaced(own):
    endpoint, file = own
    first = ensure_server(endpoint, file)
    Path(endpoint.run_time_file).unlink()
    second = ensure_server(endpoint, file)
    assert second.pid != first.pid
    Path(endpoint.run_time_file).unlink()
    stop_server(endpoint, file)
    for pid in (first.pid, second.pid):
        assert eventually(lambda pid=pid: has_ended(pid))


def test_a_killed_worker_is_reported_with_its_signal(server, client):
    endpoint, file = server
    pid = ensure_server(endpoint, file).pid
    _process, connection = client(file, ask_when_told)
    (worker,) = workers_of(pid)
    worker.kill()
    connection.send("ask")
    error = answer_of(connection)
    assert error.startswith(WorkerLostError.__name__)
    assert "The worker was killed (SIGKILL" in error
    assert ensure_server(endpoint, file).pid == pid


def test_a_client_that_leaves_before_its_worker_is_ready_costs_nothing(server):
    endpoint, file = server
    process = psutil.Process(ensure_server(endpoint, file).pid)
    assert eventually(lambda: not process.children())
    time.sleep(0.5)
    descriptors = process.num_fds()
    for _ in range(5):
        with control.connect(endpoint) as connection:
            control.send(connection, control.OpenSession())
    assert eventually(lambda: not workers_of(process.pid) and process.num_fds() <= descriptors)
    busy_s = sum(process.cpu_times()[:2])
    time.sleep(1)
    assert sum(process.cpu_times()[:2]) - busy_s < 0.5
    with control.connect(endpoint) as connection:
        control.ask(connection, control.OpenSession(), control.SessionOpened)
        with pytest.raises(ServerError, match="one session a connection"):
            control.ask(connection, control.OpenSession(), control.SessionOpened)
    assert eventually(lambda: process.num_fds() <= descriptors)


def test_a_paused_worker_is_told_from_a_dead_one(server, client):
    endpoint, file = server
    pid = ensure_server(endpoint, file).pid
    _process, connection = client(file, ask_when_told)
    (worker,) = workers_of(pid)
    worker.suspend()
    connection.send("ask")
    assert "The worker lives, but did not answer in time." in answer_of(connection)
    assert eventually(lambda: not workers_of(pid))


def test_a_killed_client_takes_its_worker_along(server, client):
    endpoint, file = server
    pid = ensure_server(endpoint, file).pid
    process, _connection = client(file, wait)
    assert len(workers_of(pid)) == 1
    process.kill()
    assert eventually(lambda: not workers_of(pid))


def test_a_killed_server_takes_its_workers_along_and_is_started_again(own, client):
    endpoint, file = own
    pid = ensure_server(endpoint, file).pid
    client(file, wait)
    (worker,) = workers_of(pid)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert eventually(lambda: not worker.is_running() or worker.status() == "zombie")
    assert ensure_server(endpoint, file).pid != pid


def test_an_idle_server_ends(own):
    endpoint, file = own
    impatient = with_settings(endpoint, idle_timeout_s=0.5)
    write_record(file, impatient)
    pid = ensure_server(impatient, file).pid
    assert eventually(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid)
    assert "idle for 0.5 s: ending" in log_file_of(file).read_text()


def test_a_server_ends_with_its_owner(own, monkeypatch):
    endpoint, file = own
    owner = subprocess.Popen(["sleep", "60"])
    monkeypatch.setenv(OWNER_VARIABLE, str(owner.pid))
    pid = ensure_server(endpoint, file).pid
    owner.kill()
    owner.wait()
    assert eventually(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid)


def begin_kv_cache(session, connection):
    """Run a pass, tell the reference ID, and continue from the one that is told in turn."""
    folder, manifest = connection.recv()
    client = InferenceClient(
        session.channel, policy_of("semantic"), manifest, map_weights(folder, manifest)
    )
    client.configure("eager")
    client.setup()
    tokens = torch.tensor([[1, 2, 3]])
    _, state, _ = client.forward(tokens, Held(), 1)
    connection.send(state.reference_id)
    client.forward(tokens[:, :1], Held((), connection.recv()), 1)
    return "computed"


def test_sessions_do_not_share_kv_caches(server, client, gptj):
    """A reference ID of one session means nothing to the worker of another."""
    _endpoint, file = server
    (_, mine), (_, theirs) = (client(file, begin_kv_cache) for _ in range(2))
    for connection in (mine, theirs):
        connection.send(gptj)
    reference_id, _other = answer_of(mine), answer_of(theirs)
    theirs.send(reference_id)
    assert answer_of(theirs).startswith("ReferenceIdError")
    mine.send(reference_id)
    assert answer_of(mine) == "computed"
