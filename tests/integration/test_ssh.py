"""A worker on another machine, reached by SSH."""

import psutil
import pytest

from another_host import AHEAD_S, ssh_host
from judges import needs
from networks import joined_network, needs_a_network
from running_server import described
from semgap.inference.worker_settings import WorkerSettings
from semgap.server.endpoint import ServerSettings
from semgap.server.lifecycle import ensure_server, stop_server
from semgap.session.server import open_session
from test_namespace import gone


def over_ssh(test):
    return needs_a_network(needs("sshd", "ssh", "ssh-keygen")(test))


# What another machine forks has another clock, as far as this kernel lets it.
AHEAD = ("unshare", "--time", "--monotonic", str(AHEAD_S))


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with (
        joined_network() as link,
        ssh_host(link, tmp_path_factory.mktemp("ssh"), *AHEAD) as reached,
    ):
        yield reached


@pytest.fixture
def endpoint(target, tmp_path):
    settings = ServerSettings(transport="tcp", host=target.destination, launch="ssh", ssh=target)
    made, file = described(tmp_path, settings, WorkerSettings(compute_threads=1))
    yield made, file
    stop_server(made, file)
    assert gone(attending)


def attending():
    """Processes of this test's servers over there: they see the same processes as here."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if "attend" in (process.info["cmdline"] or [])
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


@over_ssh
def test_a_server_is_started_on_another_machine_and_describes_it(endpoint):
    made, file = endpoint
    first = ensure_server(made, file)
    assert ensure_server(made, file).pid == first.pid
    with open_session(made.worker, file) as session:
        assert not session.one_clock
        host = session.describe_host("", "")
        assert host.machine.cores > 0
        assert host.provenance.code == made.code
