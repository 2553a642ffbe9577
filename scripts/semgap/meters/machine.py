"""The state of the machine at one instant, of which two tell what may have disturbed a job."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path

import msgspec

from semgap.meters.cgroups import Throttling, throttling
from semgap.meters.gpu_state import GpuState, read_gpu_state
from semgap.meters.kernel_files import read_boot_id, read_text
from semgap.meters.processors import (
    CoreClock,
    ProcessorTimes,
    read_core_clock,
    read_pressure_s,
    read_processor_times,
    read_thermal_throttles,
)

# Between the readings of two clocks this process may lose its core; of some attempts, one does not.
_CLOCK_ATTEMPTS = 5


class MachineState(msgspec.Struct, frozen=True):
    """One reading of what the kernel and the GPU's driver count.

    Attributes:
        unix_ns, monotonic_ns: the wall clock and the clock that nobody sets, at one instant.
        boot_id: names this boot of this machine; counters of two boots do not compare.
        load_average: processes that ran or were ready, averaged over the last minute.
        pressure_s: for how long any process has waited for a processor.
        thermal_throttles: how often a core or package was clocked down for heat.
        gpu: None where a CPU computes.

    The others are None where this machine does not show them: a virtual one hides most clocks.
    """

    unix_ns: int
    monotonic_ns: int
    boot_id: str | None
    times: ProcessorTimes
    load_average: float | None
    pressure_s: float | None
    throttling: Throttling | None
    core_clock: CoreClock | None
    thermal_throttles: int | None
    gpu: GpuState | None


def read_machine_state(
    gpu_uuid: str = "", own_pids: Collection[int] = (), root: Path = Path("/")
) -> MachineState:
    """Read the state of this machine; 2 ms, and 12 ms more where it shows the clock of its cores.

    The clock of a core is only meaningful at work: read the second state right behind the job.

    Args:
        gpu_uuid: as NVML prints it ("GPU-…"); empty where a CPU computes.
        own_pids: the processes whose use of the GPU is no disturbance.
        root: where the kernel's file systems are found.

    Raises:
        pynvml.NVMLError: there is no such GPU, or no driver.
    """
    core_clock = read_core_clock(root)
    unix_ns, monotonic_ns = _both_clocks()
    load_average = read_text(root / "proc/loadavg")
    return MachineState(
        unix_ns=unix_ns,
        monotonic_ns=monotonic_ns,
        boot_id=read_boot_id(root),
        times=read_processor_times(root),
        load_average=float(load_average.split()[0]) if load_average else None,
        pressure_s=read_pressure_s(root),
        throttling=throttling(root),
        core_clock=core_clock,
        thermal_throttles=read_thermal_throttles(root),
        gpu=read_gpu_state(gpu_uuid, own_pids) if gpu_uuid else None,
    )


def _both_clocks() -> tuple[int, int]:
    """The wall clock and the monotonic clock at one instant, in nanoseconds."""
    readings = []
    for _ in range(_CLOCK_ATTEMPTS):
        begin_ns = time.monotonic_ns()
        unix_ns = time.time_ns()
        end_ns = time.monotonic_ns()
        readings.append((end_ns - begin_ns, unix_ns, (begin_ns + end_ns) // 2))
    _, unix_ns, monotonic_ns = min(readings)
    return unix_ns, monotonic_ns
