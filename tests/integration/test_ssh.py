"""A worker on another machine, reached by SSH."""

import msgspec
import psutil
import pytest

from another_host import AHEAD, ssh_host
from judges import needs
from networks import joined_network, needs_a_network
from running_server import described
from semgap.doctor import Level
from semgap.doctor.network import check_port
from semgap.errors import ServerError
from semgap.inference.worker_settings import WorkerSettings
from semgap.server.endpoint import ServerSettings
from semgap.server.lifecycle import ensure_server, stop_server
from semgap.session.server import open_session
from test_namespace import gone


def over_ssh(test):
    return needs_a_network(needs("sshd", "ssh", "ssh-keygen")(test))


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


@over_ssh
def test_the_doctor_looks_at_the_other_machine(target, tmp_path):
    settings = ServerSettings(host=target.destination, launch="ssh", ssh=target)
    assert check_port(settings).level is Level.OK
    nowhere = msgspec.structs.replace(target, project=str(tmp_path / "nowhere"))
    found = check_port(msgspec.structs.replace(settings, ssh=nowhere))
    assert (found.level, "nowhere" in found.said) == (Level.PROBLEM, True)


@over_ssh
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"project": "/nowhere"}, "nowhere"),
        ({"options": ("-F", "none")}, "verification failed|Permission denied"),
    ],
    ids=["no checkout", "no key"],
)
def test_refused_another_machine_that_cannot_be_used(target, tmp_path, changed, said):
    reached = msgspec.structs.replace(target, **changed)
    settings = ServerSettings(transport="tcp", host=target.destination, launch="ssh", ssh=reached)
    made, file = described(tmp_path, settings, WorkerSettings(compute_threads=1))
    with pytest.raises(ServerError, match=f"The server ended at once: .*({said})"):
        ensure_server(made, file)
