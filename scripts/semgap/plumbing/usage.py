"""What processes use of their machine."""

import contextlib
import time

import msgspec
import psutil


class Usage(msgspec.Struct, frozen=True):
    """What a process and those that it started use of their machine."""

    cpu_s: float  # user and system time until now
    held_bytes: int  # memory that is resident now; shared pages count for each process


def usage_of(pid: int) -> Usage:
    """Ask the kernel; of processes that have ended, what their parent has heard of."""
    root = psutil.Process(pid)
    cpu_s, held_bytes = 0.0, 0
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            children = process.cpu_times()
            # clock_getcpuclockid(3): finer than what /proc says.
            cpu_s += time.clock_gettime(~process.pid << 3 | 2)
            cpu_s += children.children_user + children.children_system
            held_bytes += process.memory_info().rss
    return Usage(cpu_s, held_bytes)
