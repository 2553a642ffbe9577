"""How a network interface and the kernel's TCP are set."""

from __future__ import annotations

from pathlib import Path

import msgspec

from semgap.meters.commands import ask
from semgap.meters.kernel_files import read_int, read_text

# Those that let the kernel and the card handle packets larger than the link's.
_OFFLOADS = (
    "tcp-segmentation-offload",
    "generic-segmentation-offload",
    "generic-receive-offload",
    "large-receive-offload",
)


class LinkFacts(msgspec.Struct, frozen=True):
    """An interface and TCP on it; None for what it does not have or this machine does not show.

    Attributes:
        speed_mbit_s: of the link, where it is a real one.
        driver: the kernel module; virtual interfaces such as the loopback one have none.
        queueing: what ``tc`` says of its queueing disciplines, which may add delay or limit the
            rate; None without ``tc``.
        offloads: state by name; None without ``ethtool``.
        tcp_rmem, tcp_wmem: smallest, first and largest buffer of a socket in bytes (tcp(7)).
    """

    interface: str
    mtu_bytes: int | None
    speed_mbit_s: int | None
    driver: str | None
    queueing: tuple[str, ...] | None
    offloads: dict[str, str] | None
    tcp_congestion_control: str | None
    tcp_rmem: tuple[int, ...] | None
    tcp_wmem: tuple[int, ...] | None


def read_link_facts(interface: str, root: Path = Path("/")) -> LinkFacts:
    """Describe an interface by its name; one that does not exist has None everywhere."""
    folder = root / "sys/class/net" / interface
    speed_mbit_s = read_int(folder / "speed")
    driver = folder / "device/driver"
    tcp = root / "proc/sys/net/ipv4"
    return LinkFacts(
        interface=interface,
        mtu_bytes=read_int(folder / "mtu"),
        speed_mbit_s=speed_mbit_s if speed_mbit_s and speed_mbit_s > 0 else None,
        driver=driver.resolve().name if driver.exists() else None,
        queueing=_queueing(interface),
        offloads=_offloads(interface),
        tcp_congestion_control=read_text(tcp / "tcp_congestion_control"),
        tcp_rmem=_numbers(tcp / "tcp_rmem"),
        tcp_wmem=_numbers(tcp / "tcp_wmem"),
    )


def _queueing(interface: str) -> tuple[str, ...] | None:
    lines = ask(("tc", "qdisc", "show", "dev", interface)).output
    return None if lines is None else tuple(" ".join(line.split()) for line in lines.splitlines())


def _offloads(interface: str) -> dict[str, str] | None:
    lines = ask(("ethtool", "-k", interface)).output
    if lines is None:
        return None
    states = (line.partition(":") for line in lines.splitlines())
    return {name: state.strip() for name, _, state in states if name in _OFFLOADS}


def _numbers(file: Path) -> tuple[int, ...] | None:
    text = read_text(file)
    return None if text is None else tuple(int(number) for number in text.split())
