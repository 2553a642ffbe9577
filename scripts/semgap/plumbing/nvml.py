"""One GPU, as NVIDIA's management library (NVML) sees it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pynvml

Number = TypeVar("Number")


class Gpu:
    """A GPU while NVML is open. A number that this GPU or driver does not give is None."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def sm_clock_mhz(self) -> float | None:
        """Present clock of the streaming multiprocessors."""
        clock = pynvml.nvmlDeviceGetClockInfo
        return _supported(lambda: float(clock(self._handle, pynvml.NVML_CLOCK_SM)))

    def utilisation_percent(self) -> float | None:
        """Share of NVML's last window in which any kernel ran; a window is up to 1 s long."""
        rates = pynvml.nvmlDeviceGetUtilizationRates
        return _supported(lambda: float(rates(self._handle).gpu))

    def energy_j(self) -> float | None:
        """Energy since the driver was loaded; refreshed about every 0.1 s."""
        energy_mj = pynvml.nvmlDeviceGetTotalEnergyConsumption
        return _supported(lambda: float(energy_mj(self._handle)) / 1e3)

    def partitioned(self) -> bool:
        """Whether the GPU is cut into instances (MIG), of which NVML's numbers are the sum."""
        mode = _supported(lambda: pynvml.nvmlDeviceGetMigMode(self._handle)[0])
        return bool(mode == pynvml.NVML_DEVICE_MIG_ENABLE)

    def processes(self) -> tuple[str, ...]:
        """Processes that compute on the GPU, as "name (process ID)"."""
        running = pynvml.nvmlDeviceGetComputeRunningProcesses
        pids = [process.pid for process in _supported(lambda: running(self._handle)) or ()]
        return tuple(f"{_name_of(pid)} ({pid})" for pid in pids)


@contextlib.contextmanager
def opened_gpu(uuid: str) -> Iterator[Gpu]:
    """Open NVML for a GPU, by its UUID: positions differ where CUDA_VISIBLE_DEVICES is set."""
    pynvml.nvmlInit()
    try:
        yield Gpu(pynvml.nvmlDeviceGetHandleByUUID(uuid))
    finally:
        pynvml.nvmlShutdown()


def driver_version() -> str:
    """Version of the NVIDIA driver."""
    pynvml.nvmlInit()
    try:
        return str(pynvml.nvmlSystemGetDriverVersion())
    finally:
        pynvml.nvmlShutdown()


def _supported(ask: Callable[[], Number]) -> Number | None:
    try:
        return ask()
    except pynvml.NVMLError_NotSupported:
        return None


def _name_of(pid: int) -> str:
    """A process's name; in a container, IDs may be those of the host."""
    try:
        return str(pynvml.nvmlSystemGetProcessName(pid)).rpartition("/")[2]
    except pynvml.NVMLError:
        return "unknown"
