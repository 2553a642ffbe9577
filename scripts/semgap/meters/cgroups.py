"""What the control groups of this process allow it of the processors, and when they held it up.

A limit of any group between the own one and the mount point holds, so all of them are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec

from semgap.meters.kernel_files import read_counters, read_int, read_text


class Throttling(msgspec.Struct, frozen=True):
    """How often and for how long the kernel held a group up for using more than its quota."""

    times: int
    throttled_s: float


class _Mount(NamedTuple):
    """One line of /proc/self/mountinfo, as far as a control group needs it (proc(5))."""

    group: PurePosixPath
    folder: PurePosixPath
    file_system: str
    options: tuple[str, ...]


def throttling(root: Path) -> Throttling | None:
    """Throttling of this process's control groups so far; None where none has a quota to count."""
    counters = [
        counted
        for folder in _own_cpu_groups(root)
        if "nr_throttled" in (counted := read_counters(folder / "cpu.stat"))
    ]
    if not counters:
        return None
    # Version 2 counts in microseconds, version 1 in nanoseconds and under another name.
    throttled_s = sum(
        each.get("throttled_usec", 0) / 1e6 + each.get("throttled_time", 0) / 1e9
        for each in counters
    )
    return Throttling(sum(each["nr_throttled"] for each in counters), throttled_s)


def quota_cores(root: Path) -> float | None:
    """How many processors' worth of time the control groups allow; None for no limit."""
    limits = [limit for folder in _own_cpu_groups(root) if (limit := _quota_of(folder)) is not None]
    return min(limits, default=None)


def _quota_of(folder: Path) -> float | None:
    version_2 = (read_text(folder / "cpu.max") or "").split()
    if len(version_2) == 2 and version_2[0].isdigit():
        return int(version_2[0]) / int(version_2[1])
    quota_us = read_int(folder / "cpu.cfs_quota_us")
    period_us = read_int(folder / "cpu.cfs_period_us")
    if quota_us is None or period_us is None or quota_us < 0:
        return None
    return quota_us / period_us


def _own_cpu_groups(root: Path) -> Iterator[Path]:
    """Folders of the groups that govern processor time: the own one, then those around it."""
    own = _own_cpu_group(root)
    if own is None:
        return
    group, mount = own
    # A path outside of this namespace's mount cannot be found below it: take the mount itself.
    inside = group.relative_to(mount.group) if group.is_relative_to(mount.group) else group
    parts = [part for part in inside.parts if part not in ("/", "..")]
    folder = root / mount.folder.relative_to("/")
    for depth in range(len(parts), -1, -1):
        yield folder.joinpath(*parts[:depth])


def _own_cpu_group(root: Path) -> tuple[PurePosixPath, _Mount] | None:
    """The group of the processor controller, of version 1 if that has it, and its mount."""
    lines = (read_text(root / "proc/self/cgroup") or "").splitlines()
    # A line is "number:controllers:path"; version 2 has number 0 and names no controllers.
    groups = {
        controllers: PurePosixPath(path)
        for _, controllers, path in (line.split(":", 2) for line in lines)
    }
    mounts = list(_mounts(root))
    for controllers, group in groups.items():
        if "cpu" in controllers.split(","):
            for mount in mounts:
                if mount.file_system == "cgroup" and "cpu" in mount.options:
                    return group, mount
    for mount in mounts:
        if mount.file_system == "cgroup2" and "" in groups:
            return groups[""], mount
    return None


def _mounts(root: Path) -> Iterator[_Mount]:
    for line in (read_text(root / "proc/self/mountinfo") or "").splitlines():
        place, _, source = line.partition(" - ")
        fields, source_fields = place.split(), source.split()
        if len(fields) >= 5 and len(source_fields) >= 3:
            yield _Mount(
                PurePosixPath(fields[3]),
                PurePosixPath(fields[4]),
                source_fields[0],
                tuple(source_fields[2].split(",")),
            )
