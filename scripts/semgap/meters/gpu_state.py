"""What a GPU does at one instant, beside computing for us: its clocks, its heat, its guests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

Value = TypeVar("Value")

# Number of the namespace in which the machine's first process lives (PROC_PID_INIT_INO in the
# kernel's include/linux/proc_ns.h).
_FIRST_NAMESPACE = "pid:[4026531836]"


class GpuState(msgspec.Struct, frozen=True):
    """One reading of a GPU; None for what the device or its driver does not tell.

    Attributes:
        clock_limits: NVML's bit mask of what holds the clocks down (nvmlClocksEventReasons).
        power_limited_s, heat_limited_s: for how long since the driver was loaded the clocks were
            held down to keep within the power, and within the temperature, that is allowed.
        compute_pids: processes that have a compute context, as the driver numbers them.
        foreign_processes: how many of them are not ours.
    """

    sm_clock_mhz: int | None
    max_sm_clock_mhz: int | None
    clock_limits: int | None
    power_limited_s: float | None
    heat_limited_s: float | None
    temperature_c: int | None
    power_w: float | None
    compute_pids: tuple[int, ...]
    foreign_processes: int


class GpuDescription(msgspec.Struct, frozen=True):
    """A GPU and the software that drives it; None for what it does not tell.

    Attributes:
        cuda_driver: the newest CUDA version that the driver supports.
        pcie_generation, pcie_width: of the link as it is, not as it could be.
    """

    name: str
    uuid: str
    driver: str
    cuda_driver: str
    nvml: str
    memory_bytes: int
    max_sm_clock_mhz: int | None
    power_limit_w: float | None
    persistence_mode: bool | None
    compute_mode: int | None
    pcie_generation: int | None
    pcie_width: int | None


def read_gpu_state(uuid: str, own_pids: Collection[int]) -> GpuState:
    """Read a GPU's state.

    Args:
        uuid: as NVML prints it ("GPU-…").
        own_pids: the processes whose use of the GPU is no disturbance.

    Raises:
        pynvml.NVMLError: there is no such GPU, or no driver.
    """
    with _open_gpu(uuid) as (nvml, gpu):
        pids = tuple(sorted(each.pid for each in nvml.nvmlDeviceGetComputeRunningProcesses(gpu)))
        power_mw = _told(nvml, lambda: nvml.nvmlDeviceGetPowerUsage(gpu))
        return GpuState(
            sm_clock_mhz=_told(nvml, lambda: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM)),
            max_sm_clock_mhz=_max_sm_clock_mhz(nvml, gpu),
            clock_limits=_told(nvml, lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu)),
            power_limited_s=_limited_s(nvml, gpu, nvml.NVML_PERF_POLICY_POWER),
            heat_limited_s=_limited_s(nvml, gpu, nvml.NVML_PERF_POLICY_THERMAL),
            temperature_c=_told(
                nvml, lambda: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)
            ),
            power_w=None if power_mw is None else power_mw / 1e3,
            compute_pids=pids,
            foreign_processes=foreign_processes(pids, own_pids, _sees_machine_pids()),
        )


def describe_gpu(uuid: str) -> GpuDescription:
    """Describe a GPU by its UUID ("GPU-…").

    Raises:
        pynvml.NVMLError: there is no such GPU, or no driver.
    """
    with _open_gpu(uuid) as (nvml, gpu):
        cuda = nvml.nvmlSystemGetCudaDriverVersion_v2()
        limit_mw = _told(nvml, lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu))
        persistence = _told(nvml, lambda: nvml.nvmlDeviceGetPersistenceMode(gpu))
        return GpuDescription(
            name=nvml.nvmlDeviceGetName(gpu),
            uuid=uuid,
            driver=nvml.nvmlSystemGetDriverVersion(),
            cuda_driver=f"{cuda // 1000}.{cuda % 1000 // 10}",
            nvml=nvml.nvmlSystemGetNVMLVersion(),
            memory_bytes=nvml.nvmlDeviceGetMemoryInfo(gpu).total,
            max_sm_clock_mhz=_max_sm_clock_mhz(nvml, gpu),
            power_limit_w=None if limit_mw is None else limit_mw / 1e3,
            persistence_mode=None if persistence is None else bool(persistence),
            compute_mode=_told(nvml, lambda: nvml.nvmlDeviceGetComputeMode(gpu)),
            pcie_generation=_told(nvml, lambda: nvml.nvmlDeviceGetCurrPcieLinkGeneration(gpu)),
            pcie_width=_told(nvml, lambda: nvml.nvmlDeviceGetCurrPcieLinkWidth(gpu)),
        )


def foreign_processes(
    compute_pids: Collection[int], own_pids: Collection[int], same_numbers: bool
) -> int:
    """How many processes on the GPU are not ours.

    Args:
        same_numbers: whether the driver's process numbers are those that this process sees. In a
            container they are not; then at most each of ours accounts for one of the driver's.
    """
    if same_numbers:
        return len(set(compute_pids) - set(own_pids))
    return max(0, len(set(compute_pids)) - len(set(own_pids)))


def _sees_machine_pids() -> bool:
    return str(Path("/proc/self/ns/pid").readlink()) == _FIRST_NAMESPACE


@contextlib.contextmanager
def _open_gpu(uuid: str) -> Iterator[tuple[Any, Any]]:
    """NVML and its handle of a GPU."""
    # Only where there is a GPU to ask about: elsewhere there is no driver to load.
    import pynvml

    pynvml.nvmlInit()
    try:
        yield pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid)
    finally:
        pynvml.nvmlShutdown()


def _told(nvml: Any, ask: Callable[[], Value]) -> Value | None:
    """An answer of NVML; None where the device does not support the question."""
    try:
        return ask()
    except nvml.NVMLError:
        return None


def _max_sm_clock_mhz(nvml: Any, gpu: Any) -> int | None:
    return _told(nvml, lambda: int(nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM)))


def _limited_s(nvml: Any, gpu: Any, policy: int) -> float | None:
    status = _told(nvml, lambda: nvml.nvmlDeviceGetViolationStatus(gpu, policy))
    return None if status is None else status.violationTime / 1e9
