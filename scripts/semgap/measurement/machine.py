"""What machine this is."""

import platform
from pathlib import Path

from semgap.measurement.run_record import Machine
from semgap.plumbing.limits import usable_cores, usable_memory_bytes


def describe_machine(gpu: str) -> Machine:
    """Describe this machine; ``gpu`` is the name of the GPU that computes, or empty."""
    return Machine(
        name=platform.node(),
        kernel=platform.release(),
        cpu=_cpu_model(),
        cores=usable_cores(),
        memory_bytes=usable_memory_bytes(),
        gpu=gpu,
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
