"""A network beside this machine's own, joined with it by a pair of interfaces."""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from typing import NamedTuple

import pytest

from judges import needs
from semgap.errors import ServerError
from semgap.server.network_namespace import check_privileges


class Link(NamedTuple):
    """Two networks that are joined."""

    interface: str  # of this network
    near: str  # this network's address
    far: str  # the other's
    there: list[str]  # before a command, to run it in the other one


@contextlib.contextmanager
def joined_network():
    """Make a network and join it; both are gone afterwards."""
    ours, theirs = f"v{os.getpid() % 10**6}a", f"v{os.getpid() % 10**6}b"
    near, far = "10.231.77.1", "10.231.77.2"
    with contextlib.ExitStack() as stack:
        sleeper = stack.enter_context(subprocess.Popen(["unshare", "-n", "sleep", "300"]))
        stack.callback(sleeper.kill)
        subprocess.run(
            ["ip", "link", "add", ours, "type", "veth", "peer", "name", theirs], check=True
        )
        stack.callback(subprocess.run, ["ip", "link", "del", ours])
        there = ["nsenter", "-t", str(sleeper.pid), "-n"]
        for one in (
            ["ip", "link", "set", theirs, "netns", str(sleeper.pid)],
            ["ip", "addr", "add", f"{near}/24", "dev", ours],
            ["ip", "link", "set", ours, "up"],
            # A process reaches its own address by this one.
            [*there, "ip", "link", "set", "lo", "up"],
            [*there, "ip", "addr", "add", f"{far}/24", "dev", theirs],
            [*there, "ip", "link", "set", theirs, "up"],
        ):
            subprocess.run(one, check=True)
        yield Link(ours, near, far, there)


def _privileged():
    try:
        check_privileges()
    except ServerError:
        return False
    return True


def needs_a_network(test):
    """Skip a test where no network can be made."""
    allowed = pytest.mark.skipif(not _privileged(), reason="a network of its own needs root")
    return allowed(needs("unshare", "nsenter", "ip")(test))


_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def enter_a_network_of_ones_own():
    """Give this process and all that it starts a loopback interface, ports and captures of its own.

    Suites that run beside each other then neither see each other's packets nor wait for each
    other's measurements. Without root nothing happens, and they wait.
    """
    if ctypes.CDLL(None).unshare(_CLONE_NEWNET) == 0:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
