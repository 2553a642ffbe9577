"""A server in a network of its own, joined with this one by two interfaces that may be shaped.

The network is the server's alone and has no name, so the kernel takes it and its interfaces away
with the server's last process, however that ends. A delay takes a third network between the two,
and a relay in it that ends with the server.
"""

import contextlib
import ipaddress
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from semgap.errors import ConfigError, ServerError
from semgap.server import relay as relaying
from semgap.server.endpoint import LinkShape, ServerSettings

_FAR = "worker"
# At full rate passes what the shaper would let pass in so long, and two of the largest packets.
_BURST_S = 0.002
_LEAST_BURST_BYTES = 131_072
# How long a packet may wait for its turn; more than any socket's buffer holds at the slowest rates.
_QUEUE_MS = 100
_PREFIX = 30
# CAP_NET_ADMIN and CAP_SYS_ADMIN: capabilities(7).
_PRIVILEGES = 1 << 12 | 1 << 21


def start_in_namespace(
    command: Sequence[str], settings: ServerSettings, output: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a command in a network of its own that this one reaches.

    Raises:
        ServerError: the network cannot be made; the command is then not run.
    """
    check_privileges()
    with _network_of_its_own(command, output) as server:
        near, link = f"semgap{server.pid}", settings.link
        if link.round_trip_ms is None:
            _run(_pair(near, _FAR, server.pid))
        else:
            delay_s = link.round_trip_ms / 2e3
            between = [near, _FAR, str(delay_s), str(server.pid)]
            delaying = [sys.executable, relaying.__file__, *between]
            with _network_of_its_own(delaying, output) as relay:
                _run(_pair(near, near, relay.pid))
                _run([*_in(relay.pid), *_pair(_FAR, _FAR, server.pid)])
                _set_up(_in(relay.pid), near, None, link)
                _set_up(_in(relay.pid), _FAR, None, link)
        _set_up([], near, near_address(settings.host), link)
        _set_up(_in(server.pid), "lo", None, LinkShape())
        _set_up(_in(server.pid), _FAR, settings.host, link)
    return server


def check_privileges() -> None:
    """Raise a ServerError unless this process may make networks."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (held,) = (line for line in status.splitlines() if line.startswith("CapEff:"))
    if int(held.split()[1], 16) & _PRIVILEGES != _PRIVILEGES:
        raise ServerError(
            "server.launch is 'namespace', and only root may make networks here.",
            "Run as root, or in a namespace of your own (docs/links.md has the command), or set "
            "server.launch to 'local': over loopback, without a link.",
        )


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


@contextlib.contextmanager
def _network_of_its_own(
    command: Sequence[str], output: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a network of its own; it becomes the command as the block ends well."""
    waiting = ["unshare", "--net", "sh", "-c", 'read -r go && exec "$@"', "sh", *command]
    process = subprocess.Popen(
        waiting, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
    )
    try:
        _wait_for_network(process)
        yield process
        assert process.stdin is not None, "it has a pipe"
        process.stdin.write(b"go\n")
        process.stdin.close()
    except BaseException:
        process.kill()
        process.wait()
        raise


def _in(pid: int) -> list[str]:
    """Before a command, to run it in the network of a process."""
    return ["nsenter", "--net", "--target", str(pid)]


def _pair(here: str, there: str, pid: int) -> list[str]:
    """Make two interfaces that are joined, one here and one in the network of a process."""
    peer = ["peer", "name", there, "netns", str(pid)]
    return ["ip", "link", "add", here, "type", "veth", *peer]


def _set_up(place: Sequence[str], interface: str, address: str | None, link: LinkShape) -> None:
    if address is not None:
        _run([*place, "ip", "address", "add", f"{address}/{_PREFIX}", "dev", interface])
    if link.mtu is not None:
        _run([*place, "ip", "link", "set", interface, "mtu", str(link.mtu)])
    _run([*place, "ip", "link", "set", interface, "up"])
    # Each end that has an address sends at the rate, so that each direction has it.
    if address is not None and link.rate_gbit is not None:
        shaped = [*place, "tc", "qdisc", "add", "dev", interface, "root", "tbf"]
        rate = ["rate", f"{int(link.rate_gbit * 1e9)}bit"]
        burst = ["burst", str(burst_bytes(link.rate_gbit)), "latency", f"{_QUEUE_MS}ms"]
        _run([*shaped, *rate, *burst])


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
