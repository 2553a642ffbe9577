"""What of a machine and its settings changes what is measured on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec

from semgap.meters.cgroups import quota_cores
from semgap.meters.kernel_files import read_int, read_text

_CPUS = Path("sys/devices/system/cpu")


class MachineFacts(msgspec.Struct, frozen=True):
    """A machine; None for what it does not show.

    Attributes:
        cores: processors that this process may use.
        quota_cores: processors' worth of time that the control groups allow; None for no limit.
        governors: what decides on the clocks, each once.
        boost: whether clocks above the base clock are allowed.
        smt: whether two threads share a core.
        virtual: whether a hypervisor runs beneath.
    """

    kernel: str
    cpu: str
    cores: int
    quota_cores: float | None
    memory_bytes: int | None
    numa_nodes: int | None
    governors: tuple[str, ...] | None
    boost: bool | None
    smt: bool | None
    virtual: bool | None
    clock_source: str | None


def read_machine_facts(root: Path = Path("/")) -> MachineFacts:
    """Describe this machine."""
    cpu_fields = _first_processor(root)
    flags = cpu_fields.get("flags")
    smt = read_int(root / _CPUS / "smt/active")
    clock_source = root / "sys/devices/system/clocksource/clocksource0/current_clocksource"
    return MachineFacts(
        kernel=platform.release(),
        cpu=cpu_model(root),
        cores=len(os.sched_getaffinity(0)),
        quota_cores=quota_cores(root),
        memory_bytes=_memory_bytes(root),
        numa_nodes=_numa_nodes(root),
        governors=_governors(root),
        boost=_boost(root),
        smt=None if smt is None else bool(smt),
        virtual=None if flags is None else "hypervisor" in flags.split(),
        clock_source=read_text(clock_source),
    )


def cpu_model(root: Path = Path("/")) -> str:
    """The processor's name; where the kernel tells none, the architecture's."""
    return _first_processor(root).get("model name", platform.machine())


def _first_processor(root: Path) -> dict[str, str]:
    text = (read_text(root / "proc/cpuinfo") or "").partition("\n\n")[0]
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _memory_bytes(root: Path) -> int | None:
    for line in (read_text(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _numa_nodes(root: Path) -> int | None:
    nodes = list((root / "sys/devices/system/node").glob("node[0-9]*"))
    return len(nodes) or None


def _governors(root: Path) -> tuple[str, ...] | None:
    files = (root / _CPUS).glob("cpu[0-9]*/cpufreq/scaling_governor")
    names = {name for file in files if (name := read_text(file))}
    return tuple(sorted(names)) or None


def _boost(root: Path) -> bool | None:
    no_turbo = read_int(root / _CPUS / "intel_pstate/no_turbo")
    if no_turbo is not None:
        return no_turbo == 0
    boost = read_int(root / _CPUS / "cpufreq/boost")
    return None if boost is None else bool(boost)
