"""One GPU, as NVIDIA's management library (NVML) sees it."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pynvml

log = logging.getLogger(__name__)

Number = TypeVar("Number")


class Gpu:
    """A GPU while NVML is open. What GPU, driver or permissions do not give is None.

    Args:
        handle: NVML's; None where NVML cannot be opened.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def sm_clock_mhz(self) -> float | None:
        """Present clock of the streaming multiprocessors."""
        clock = pynvml.nvmlDeviceGetClockInfo
        return self._known(lambda: float(clock(self._handle, pynvml.NVML_CLOCK_SM)))

    def utilisation_percent(self) -> float | None:
        """Share of NVML's last window in which any kernel ran; a window is up to 1 s long."""
        rates = pynvml.nvmlDeviceGetUtilizationRates
        return self._known(lambda: float(rates(self._handle).gpu))

    def energy_j(self) -> float | None:
        """Energy since the driver was loaded; refreshed about every 0.1 s."""
        energy_mj = pynvml.nvmlDeviceGetTotalEnergyConsumption
        return self._known(lambda: float(energy_mj(self._handle)) / 1e3)

    def partitioned(self) -> bool | None:
        """Whether the GPU is cut into instances (MIG), of which NVML's numbers are the sum."""
        if self._handle is None:
            return None
        try:
            mode = pynvml.nvmlDeviceGetMigMode(self._handle)[0]
        except pynvml.NVMLError_NotSupported:
            # A GPU that cannot be cut is not.
            return False
        except pynvml.NVMLError:
            return None
        return bool(mode == pynvml.NVML_DEVICE_MIG_ENABLE)

    def processes(self) -> tuple[str, ...] | None:
        """Processes that compute on the GPU, as "name (process ID)"."""
        running = pynvml.nvmlDeviceGetComputeRunningProcesses
        found = self._known(lambda: running(self._handle))
        if found is None:
            return None
        return tuple(f"{_name_of(process.pid)} ({process.pid})" for process in found)

    def _known(self, ask: Callable[[], Number]) -> Number | None:
        if self._handle is None:
            return None
        try:
            return ask()
        except pynvml.NVMLError:
            return None


@contextlib.contextmanager
def opened_gpu(uuid: str) -> Iterator[Gpu]:
    """Open NVML for a GPU, by its UUID: positions differ where CUDA_VISIBLE_DEVICES is set."""
    with contextlib.ExitStack() as stack:
        try:
            pynvml.nvmlInit()
            stack.callback(pynvml.nvmlShutdown)
            gpu = Gpu(pynvml.nvmlDeviceGetHandleByUUID(uuid))
        except pynvml.NVMLError as error:
            log.warning("NVML does not speak of %s (%s): its numbers are left out", uuid, error)
            gpu = Gpu(None)
        yield gpu


def driver_version() -> str:
    """Version of the NVIDIA driver; empty where NVML does not say."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ""
    try:
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return ""
    finally:
        pynvml.nvmlShutdown()


def _name_of(pid: int) -> str:
    """A process's name; in a container, IDs may be those of the host."""
    try:
        return str(pynvml.nvmlSystemGetProcessName(pid)).rpartition("/")[2]
    except pynvml.NVMLError:
        return "unknown"
