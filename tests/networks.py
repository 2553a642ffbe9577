"""A network beside this machine's own, joined with it by a pair of interfaces."""

import contextlib
import os
import subprocess
from typing import NamedTuple

import pytest

from judges import needs


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


def needs_a_network(test):
    """Skip a test where no network can be made."""
    as_root = pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own needs root")
    return as_root(needs("unshare", "nsenter", "ip")(test))
