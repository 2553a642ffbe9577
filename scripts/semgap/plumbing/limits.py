"""What this process may use of the machine, by affinity and control groups (cgroups(7))."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import psutil

_MOUNT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cores() -> float:
    """Cores that this process may use; a control group may allow half a one."""
    cores = float(len(os.sched_getaffinity(0)))
    for folder in _groups("cpu"):
        # Version 2: "quota period" in µs, "max" for no limit. Version 1: a file each, -1 for none.
        quota, _, period = _text_of(folder / "cpu.max").partition(" ")
        quota = quota or _text_of(folder / "cpu.cfs_quota_us")
        period = period or _text_of(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            cores = min(cores, int(quota) / int(period))
    return cores


def threads_or_all_cores(threads: int) -> int:
    """Return ``threads``, or the number of cores this process may use where it is 0."""
    return threads or math.ceil(usable_cores())


def usable_memory_bytes() -> int:
    """Main memory that this process may use."""
    memory_bytes = int(psutil.virtual_memory().total)
    return min([memory_bytes, *(limit for limit, _used in _memory_limits())])


def available_memory_bytes() -> int:
    """Main memory that this process could still have."""
    available_bytes = int(psutil.virtual_memory().available)
    return min([available_bytes, *(limit - used for limit, used in _memory_limits())])


def throttled_s() -> float | None:
    """How long control groups have kept this process from running; None where none is known."""
    for folder in _groups("cpu"):
        fields = dict(
            line.split(maxsplit=1) for line in _text_of(folder / "cpu.stat").splitlines() if line
        )
        for name, unit_s in (("throttled_usec", 1e-6), ("throttled_time", 1e-9)):
            if name in fields:
                return int(fields[name]) * unit_s
    return None


def _memory_limits() -> Iterator[tuple[int, int]]:
    """Limit and present use in bytes of each control group around this process that has one."""
    for folder in _groups("memory"):
        limit = _text_of(folder / "memory.max") or _text_of(folder / "memory.limit_in_bytes")
        used = _text_of(folder / "memory.current") or _text_of(folder / "memory.usage_in_bytes")
        if limit.isdigit():
            yield int(limit), int(used) if used.isdigit() else 0


def _groups(controller: str) -> Iterator[Path]:
    """Folders of the control groups around this process, the innermost first."""
    for line in _text_of(_MEMBERSHIP).splitlines():
        _number, controllers, path = line.split(":", maxsplit=2)
        if controllers and controller not in controllers.split(","):
            continue
        top = _MOUNT / controllers if controllers else _MOUNT
        inner = top / path.lstrip("/")
        # In a container the path may be that of the host, of which only the top is mounted.
        for folder in (inner, *inner.parents):
            if folder.is_dir() and folder.is_relative_to(_MOUNT):
                yield folder


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return ""


Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Do work that releases the interpreter's lock, on all cores.

    Returns:
        The results in the order of the items. The first error is raised.
    """
    with ThreadPoolExecutor(threads_or_all_cores(0)) as pool:
        return list(pool.map(work, items))
