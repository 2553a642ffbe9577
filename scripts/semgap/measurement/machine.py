"""What machine this is."""

import os
import platform
from pathlib import Path

import psutil

from semgap.measurement.run_record import Machine


def describe_machine(gpu: str) -> Machine:
    """Describe this machine; ``gpu`` is the name of the GPU that computes, or empty."""
    return Machine(
        name=platform.node(),
        kernel=platform.release(),
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        gpu=gpu,
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
