"""What the processors have done and how fast they run, as the kernel counts it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from semgap.meters.kernel_files import read_int, read_text

# A core that was idle may be clocked down; after this long at work, the slowest of the common
# governors (10 ms between two decisions) has clocked it up.
_CLOCK_UP_S = 0.012
_CPUS = Path("sys/devices/system/cpu")


class ProcessorTimes(msgspec.Struct, frozen=True):
    """Time of all processors together since the machine was started, in seconds (proc_stat(5)).

    Attributes:
        busy_s: spent for processes, by them or by the kernel. Interrupts are apart, because those
            of our own packets belong to no process.
        steal_s: spent by the hypervisor on something else while a process here was ready.
        idle_s: with nothing to do, or with nothing but waiting for a disk.
    """

    busy_s: float
    interrupt_s: float
    steal_s: float
    idle_s: float

    def since(self, earlier: ProcessorTimes) -> ProcessorTimes:
        """The times between an earlier reading and this one."""
        return ProcessorTimes(
            self.busy_s - earlier.busy_s,
            self.interrupt_s - earlier.interrupt_s,
            self.steal_s - earlier.steal_s,
            self.idle_s - earlier.idle_s,
        )

    def total_s(self) -> float:
        """Time of all processors, whatever they did."""
        return self.busy_s + self.interrupt_s + self.steal_s + self.idle_s


class CoreClock(msgspec.Struct, frozen=True):
    """The clock of the core that this process runs on; None for what the kernel does not tell."""

    core: int
    current_mhz: float
    base_mhz: float | None
    max_mhz: float | None


def read_processor_times(root: Path = Path("/")) -> ProcessorTimes:
    """Read the time of all processors together."""
    fields = (root / "proc/stat").read_text().partition("\n")[0].split()
    per_s = os.sysconf("SC_CLK_TCK")
    # A guest's time, which follows, is within "user" and "nice" already.
    user, nice, system, idle, disk, irq, soft_irq, steal = (
        int(each) / per_s for each in fields[1:9]
    )
    return ProcessorTimes(user + nice + system, irq + soft_irq, steal, idle + disk)


def foreign_load(window_s: float, root: Path = Path("/")) -> float | None:
    """The share of the machine's processors in use while this process sleeps for ``window_s``.

    Returns:
        From 0 to 1; None where the kernel counts no processor time, or counted none in the window.
        Processor time is counted in steps of 10 ms a processor.
    """
    before = read_processor_times(root)
    time.sleep(window_s)
    passed = read_processor_times(root).since(before)
    total_s = passed.total_s()
    return (passed.busy_s + passed.interrupt_s) / total_s if total_s > 0 else None


def read_pressure_s(root: Path = Path("/")) -> float | None:
    """For how long any process waited for a processor, in seconds since the machine was started.

    None where the kernel keeps no account of pressure.
    """
    for line in (read_text(root / "proc/pressure/cpu") or "").splitlines():
        kind, *fields = line.split()
        values = dict(field.split("=", 1) for field in fields)
        if kind == "some" and "total" in values:
            return int(values["total"]) / 1e6
    return None


def read_core_clock(root: Path = Path("/")) -> CoreClock | None:
    """The clock of the core that this process runs on, at work; None where the kernel tells none.

    Only this core: on some kernels each core that is asked takes 10 ms to answer.
    """
    if not _frequency_file(root, _own_core(root)).exists():
        return None
    until_s = time.perf_counter() + _CLOCK_UP_S
    while time.perf_counter() < until_s:
        pass
    core = _own_core(root)
    current_khz = read_int(_frequency_file(root, core))
    if current_khz is None:
        return None
    folder = root / _CPUS / f"cpu{core}"
    max_khz = read_int(folder / "cpufreq/cpuinfo_max_freq")
    return CoreClock(
        core=core,
        current_mhz=current_khz / 1e3,
        base_mhz=_base_mhz(folder),
        max_mhz=None if max_khz is None else max_khz / 1e3,
    )


def read_thermal_throttles(root: Path = Path("/")) -> int | None:
    """How often a core or a package was clocked down for heat; None where the kernel counts none.

    A package counts once for each of its processors, so only a difference has a meaning.
    """
    counts = [
        count
        for file in (root / _CPUS).glob("cpu[0-9]*/thermal_throttle/*_throttle_count")
        if (count := read_int(file)) is not None
    ]
    return sum(counts) if counts else None


def _own_core(root: Path) -> int:
    # The name of the executable, in parentheses, may contain spaces and parentheses itself; the
    # processor is field 39, the name field 2 (proc_pid_stat(5)).
    behind_name = (root / "proc/self/stat").read_text().rpartition(")")[2].split()
    return int(behind_name[36])


def _frequency_file(root: Path, core: int) -> Path:
    return root / _CPUS / f"cpu{core}/cpufreq/scaling_cur_freq"


def _base_mhz(folder: Path) -> float | None:
    intel_khz = read_int(folder / "cpufreq/base_frequency")
    if intel_khz is not None:
        return intel_khz / 1e3
    # Where firmware describes the processor by ACPI's CPPC, in MHz.
    nominal_mhz = read_int(folder / "acpi_cppc/nominal_freq")
    return float(nominal_mhz) if nominal_mhz else None
