"""Which connections are a session's: those that both of its processes have."""

import pytest

from semgap.plumbing.tcp_sockets import (
    SocketPair,
    interface_towards,
    reverse_of,
    session_connections,
    strangers,
)

CLIENT_END = SocketPair("127.0.0.1", 40_000, "127.0.0.1", 2_000)
WORKER_END = reverse_of(CLIENT_END)
CONTROL = SocketPair("127.0.0.1", 40_001, "127.0.0.1", 29_610)
WITH_ITSELF = SocketPair("127.0.0.1", 41_000, "127.0.0.1", 2_000)
STRANGER = SocketPair("127.0.0.1", 2_000, "10.0.0.7", 50_000)


def test_only_what_both_processes_see_is_the_sessions():
    client = [CLIENT_END, CONTROL]
    worker = [WORKER_END, WITH_ITSELF, reverse_of(WITH_ITSELF), STRANGER]
    assert session_connections(client, worker) == {CLIENT_END}


def test_a_connection_from_outside_is_a_strangers():
    client = [CLIENT_END, CONTROL]
    worker = [WORKER_END, WITH_ITSELF, reverse_of(WITH_ITSELF)]
    assert strangers(client, worker, [2_000]) == []
    assert strangers(client, [*worker, STRANGER], [2_000]) == [STRANGER]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_this_machine_is_reached_by_its_loopback_interface(host):
    assert interface_towards(host) == "lo"


def test_a_host_without_a_way_is_told():
    with pytest.raises(OSError, match=r"unreachable|denied"):
        interface_towards("255.255.255.255")
