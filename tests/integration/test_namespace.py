"""A server in a network of its own: it is reached over the link, and nothing of it stays behind."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time

import msgspec
import pytest

from judges import needs
from networks import needs_a_network
from patience import PATIENCE_S
from running_server import described
from semgap.errors import ServerError
from semgap.inference.link import measure_link
from semgap.inference.worker_settings import WorkerSettings
from semgap.server import network_namespace
from semgap.server.endpoint import LinkShape, ServerSettings
from semgap.server.lifecycle import ensure_server, stop_server
from semgap.server.network_namespace import burst_bytes, near_address, start_in_namespace
from semgap.session.server import open_session
from small_models import PROJECT

RATE_GBIT = 0.4
ROUND_TRIP_MS = 20


def interfaces():
    listed = subprocess.run(["ip", "-o", "link"], stdout=subprocess.PIPE, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if "semgap" in line]


def gone(what):
    deadline_s = time.monotonic() + PATIENCE_S
    while what():
        assert time.monotonic() < deadline_s, what()
        time.sleep(0.05)
    return True


@pytest.fixture
def endpoint(tmp_path):
    settings = ServerSettings(
        transport="tcp",
        host="10.231.78.2",
        launch="namespace",
        link=LinkShape(rate_gbit=RATE_GBIT, round_trip_ms=2, mtu=1500),
    )
    made, file = described(tmp_path, settings, WorkerSettings(compute_threads=1))
    yield made, file
    stop_server(made, file)
    assert gone(interfaces)


@needs("tc")
@needs_a_network
def test_the_link_has_its_rate_in_each_direction(endpoint):
    """Content is what is left of 1514 bytes of a frame after 66 of headers."""
    made, file = endpoint
    ensure_server(made, file)
    (line,) = interfaces()
    assert "mtu 1500" in line
    with open_session(made.worker, file) as session:
        assert session.link == made.settings.link
        seen = measure_link(session.channel)
    for goodput in (seen.up_bytes_per_s, seen.down_bytes_per_s):
        # Above it by at most the burst; below it only on a machine that does something else.
        rate = RATE_GBIT * 1e9 / 8 * 1448 / 1514
        assert 0.5 * rate < goodput < 1.05 * rate
    assert 0.0019 < seen.least_round_trip_s <= seen.round_trip_s


@contextlib.contextmanager
def link_of(shape, tmp_path):
    """A link without a server; yields what goes before a command, to run it at the other end."""
    settings = ServerSettings(host="10.231.79.2", launch="namespace", link=shape)
    with (tmp_path / "log").open("wb") as log:
        sleeper = start_in_namespace(["sleep", "600"], settings, log)
    try:
        yield ["nsenter", "--net", "--target", str(sleeper.pid)], settings.host
    finally:
        sleeper.kill()
        sleeper.wait()
        assert gone(interfaces)


ECHO = """
import socket, sys
listener = socket.create_server((sys.argv[1], 29700))
print(flush=True)
connection, _ = listener.accept()
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
while said := connection.recv(1):
    connection.sendall(said)
"""


@needs("tc")
@needs_a_network
@pytest.mark.parametrize("rate_gbit", [None, 1])
def test_plain_sockets_see_the_delay(tmp_path, rate_gbit):
    """The quickest round trip: beside other work, a process waits for its turn."""
    shape = LinkShape(rate_gbit=rate_gbit, round_trip_ms=ROUND_TRIP_MS)
    with link_of(shape, tmp_path) as (there, host), contextlib.ExitStack() as stack:
        command = [*there, sys.executable, "-c", ECHO, host]
        echo = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
        stack.callback(echo.kill)
        echo.stdout.readline()
        connection = stack.enter_context(socket.create_connection((host, 29700), PATIENCE_S))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        taken_ms = []
        for _ in range(40):
            begin_s = time.perf_counter()
            connection.sendall(b".")
            connection.recv(1)
            taken_ms.append(1e3 * (time.perf_counter() - begin_s))
    assert 0.98 * ROUND_TRIP_MS < min(taken_ms) < 1.05 * ROUND_TRIP_MS


TAKE = """
import socket, sys
listener = socket.create_server((sys.argv[1], 29700))
print(flush=True)
while True:
    connection, _ = listener.accept()
    while connection.recv(1 << 20):
        pass
    connection.close()
"""


@needs("tc")
@needs_a_network
def test_plain_sockets_see_the_rate(tmp_path):
    """The best of some tries: a busy machine may send less."""
    content, rates = bytes(10_000_000), []
    with (
        link_of(LinkShape(rate_gbit=0.2, mtu=1500), tmp_path) as (there, host),
        contextlib.ExitStack() as stack,
    ):
        command = [*there, sys.executable, "-c", TAKE, host]
        taker = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
        stack.callback(taker.kill)
        taker.stdout.readline()
        for _ in range(4):
            with socket.create_connection((host, 29700), PATIENCE_S) as connection:
                begin_s = time.perf_counter()
                connection.sendall(content)
                connection.shutdown(socket.SHUT_WR)
                # It hangs up when it has taken all.
                assert connection.recv(1) == b""
                rates.append(8e-9 * len(content) / (time.perf_counter() - begin_s))
    assert max(rates) == pytest.approx(0.2 * 1448 / 1514, rel=0.05)


@needs("tc", "ping")
@needs_a_network
def test_ping_sees_the_delay(tmp_path):
    with link_of(LinkShape(round_trip_ms=ROUND_TRIP_MS), tmp_path) as (_there, host):
        said = subprocess.run(
            ["ping", "-c", "20", "-i", "0.05", host], check=True, capture_output=True, text=True
        ).stdout
    taken_ms = [float(one) for one in re.findall(r"time=([0-9.]+) ms", said)]
    assert len(taken_ms) == 20
    assert 0.98 * ROUND_TRIP_MS < min(taken_ms) < 1.05 * ROUND_TRIP_MS


@needs("tc", "setpriv")
@needs_a_network
def test_the_link_is_made_without_root(tmp_path):
    """A process that may make no networks runs the tests above in a namespace of its own.

    It keeps its user, who owns the files, and the one capability that a user other than root need
    not have for that. There it is not called root: Debian's tcpdump would try to become another
    user, whom that namespace does not have.
    """
    powerless = ["setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all"]
    refused = subprocess.run([*powerless, "unshare", "--net", "true"], stderr=subprocess.PIPE)
    assert b"not permitted" in refused.stderr
    as_user = ["--map-user=1000", "--map-group=1000", "--keep-caps"]
    in_own_namespace = ["unshare", *as_user, "--net", "sh", "-c"]
    files = [__file__, str(PROJECT / "tests" / "integration" / "test_capture.py")]
    tests = [sys.executable, "-m", "pytest", "-q", "--basetemp", str(tmp_path), *files]
    done = subprocess.run(
        [
            *(*powerless, *in_own_namespace, 'ip link set lo up && exec "$@"', "sh", *tests),
            *("-k", "link_has_its_rate or sockets_see_the_delay or server_that_is_killed or byte"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "7 passed" in done.stdout
    assert "skipped" not in done.stdout


@needs("tc")
@needs_a_network
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_survived_a_server_that_is_killed_without_leaving_a_network(endpoint, how):
    made, file = endpoint
    first = ensure_server(made, file).pid
    os.kill(first, how)
    assert gone(interfaces)
    assert ensure_server(made, file).pid != first
    assert len(interfaces()) == 1


@needs("tc")
@needs_a_network
def test_a_link_that_cannot_be_made_is_named_and_nothing_stays(endpoint):
    made, file = endpoint
    tiny = msgspec.structs.replace(made.settings, link=LinkShape(mtu=50))
    with pytest.raises(ServerError, match=r"The link cannot be made: 'ip link .*' says: .*mtu"):
        ensure_server(msgspec.structs.replace(made, settings=tiny), file)
    assert gone(interfaces)


def test_a_network_that_cannot_be_made_is_named(endpoint, monkeypatch, tmp_path):
    made, file = endpoint
    fake = tmp_path / "unshare"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(network_namespace, "check_privileges", lambda: None)
    with pytest.raises(ServerError, match=r"No network could be made: unshare ended at once"):
        ensure_server(made, file)


def test_refused_a_link_without_root(endpoint, monkeypatch):
    made, file = endpoint
    monkeypatch.setattr(network_namespace, "_PRIVILEGES", 1 << 63)
    with pytest.raises(ServerError, match=r"only root may make networks here.*'local'"):
        ensure_server(made, file)


@pytest.mark.parametrize(("host", "near"), [("10.77.0.2", "10.77.0.1"), ("10.77.0.1", "10.77.0.2")])
def test_the_near_address_is_the_other_one(host, near):
    assert near_address(host) == near


def test_a_burst_is_what_the_rate_carries_in_a_moment_and_two_packets_at_least():
    assert burst_bytes(1) == 250_000
    assert burst_bytes(0.01) == 131_072
