"""A server in a network of its own, joined with this one by two interfaces that may be shaped.

The network is the server's alone and has no name, so the kernel takes it and both interfaces away
with the server's last process, however that ends.
"""

import contextlib
import ipaddress
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from semgap.errors import ConfigError, ServerError
from semgap.server.endpoint import LinkShape, ServerSettings

_FAR = "worker"
# At full rate passes what the shaper would let pass in so long, and two of the largest packets.
_BURST_S = 0.002
_LEAST_BURST_BYTES = 131_072
# How long a packet may wait for its turn; more than any socket's buffer holds at the slowest rates.
_QUEUE_MS = 100
_PREFIX = 30


def start_in_namespace(
    command: Sequence[str], settings: ServerSettings, output: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a command in a network of its own that this one reaches.

    Raises:
        ServerError: the network cannot be made; the command is then not run.
    """
    if os.geteuid() != 0:
        raise ServerError(
            "server.launch is 'namespace', and only root may make networks here.",
            "Run as root, or set server.launch to 'local': over loopback, without a link.",
        )
    # It goes on when its network is ready; its process is the command's from the beginning.
    waiting = ["unshare", "--net", "sh", "-c", 'read -r go && exec "$@"', "sh", *command]
    process = subprocess.Popen(
        waiting, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
    )
    try:
        _join(process, settings)
        assert process.stdin is not None, "it has a pipe"
        process.stdin.write(b"go\n")
        process.stdin.close()
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def near_address(host: str) -> str:
    """This side's address of the link whose other side is ``host``: the other one of a /30.

    Raises:
        ConfigError: ``host`` is the network's own address, or the one of all its hosts.
    """
    network = ipaddress.ip_interface(f"{host}/{_PREFIX}").network
    both = [str(address) for address in network.hosts()]
    if host not in both:
        raise ConfigError(
            f"'server.host' is '{host}', which no host of the link may have.",
            f"Set it to {' or '.join(both)}.",
        )
    both.remove(host)
    return both[0]


def burst_bytes(rate_gbit: float) -> int:
    """What a shaper of this rate lets pass at once."""
    return max(_LEAST_BURST_BYTES, int(rate_gbit * 1e9 / 8 * _BURST_S))


def _join(process: subprocess.Popen[bytes], settings: ServerSettings) -> None:
    near, there = f"semgap{process.pid}", ["nsenter", "--net", "--target", str(process.pid)]
    _wait_for_network(process)
    link = settings.link
    for command in (
        [
            *("ip", "link", "add", near, "type", "veth"),
            *("peer", "name", _FAR, "netns", str(process.pid)),
        ],
        ["ip", "address", "add", f"{near_address(settings.host)}/{_PREFIX}", "dev", near],
        [*there, "ip", "address", "add", f"{settings.host}/{_PREFIX}", "dev", _FAR],
        *(["ip", "link", "set", near, "mtu", str(link.mtu)],) * bool(link.mtu),
        *([*there, "ip", "link", "set", _FAR, "mtu", str(link.mtu)],) * bool(link.mtu),
        ["ip", "link", "set", near, "up"],
        [*there, "ip", "link", "set", "lo", "up"],
        [*there, "ip", "link", "set", _FAR, "up"],
        *_shapers(link, [[near], [*there, _FAR]]),
    ):
        _run(command)


def _shapers(link: LinkShape, ends: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """Each end sends at the rate, so that each direction has it."""
    if link.rate_gbit is None:
        return
    for *there, interface in ends:
        yield [
            *(*there, "tc", "qdisc", "add", "dev", interface, "root", "tbf"),
            *("rate", f"{int(link.rate_gbit * 1e9)}bit"),
            *("burst", str(burst_bytes(link.rate_gbit)), "latency", f"{_QUEUE_MS}ms"),
        ]


def _wait_for_network(process: subprocess.Popen[bytes]) -> None:
    ours = Path("/proc/self/ns/net").readlink()
    while process.poll() is None:
        # A process that has just ended has no networks any more.
        with contextlib.suppress(OSError):
            if Path(f"/proc/{process.pid}/ns/net").readlink() != ours:
                return
    raise ServerError(
        "No network could be made: unshare ended at once.",
        "Look at the server's log, or set server.launch to 'local'.",
    )


def _run(command: Sequence[str]) -> None:
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    try:
        subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        )
    except (OSError, subprocess.CalledProcessError) as error:
        said = error.stdout.decode(errors="replace").strip() if hasattr(error, "stdout") else error
        raise ServerError(
            f"The link cannot be made: '{' '.join(command)}' says: {said}.",
            "Install iproute2, choose a free address for server.host, or set server.launch to "
            "'local'.",
        ) from error
