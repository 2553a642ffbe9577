"""GPU utilisation as NVML samples it: the share of time with any kernel in NVML's last window."""

import statistics
import threading
import time
from typing import NamedTuple

from semgap.meters.meter_contract import Host, Meter, Readings, Span

HOST = Host.WORKER
SPAN = Span.PHASE
NEEDS_GPU = True

_PERIOD_S = 0.1


def open_meter(gpu_uuid: str) -> Meter:
    return GpuSamples(gpu_uuid)


class _Sample(NamedTuple):
    at_ns: int
    percent: float
    sm_clock_mhz: float
    processes: int


class GpuSamples(Meter):
    """Samples a GPU every 0.1 s, and at the begin, in a thread of its own."""

    def __init__(self, gpu_uuid: str) -> None:
        self._gpu_uuid = gpu_uuid
        self._samples: list[_Sample] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="nvml", daemon=True)

    def __enter__(self) -> None:
        import pynvml

        pynvml.nvmlInit()
        self._handle = pynvml.nvmlDeviceGetHandleByUUID(self._gpu_uuid)
        self._thread.start()

    def __exit__(self, *_exception: object) -> None:
        import pynvml

        self._ended.set()
        self._thread.join()
        pynvml.nvmlShutdown()

    def read(self, begin_ns: int, end_ns: int) -> Readings:
        readings = {
            "gpu_sm_clock_mhz": statistics.fmean(one.sm_clock_mhz for one in self._samples),
            "gpu_processes": max(one.processes for one in self._samples),
        }
        within = [one.percent for one in self._samples if begin_ns <= one.at_ns < end_ns]
        if within:
            readings["gpu_nvml_percent"] = statistics.fmean(within)
        return readings

    def _sample(self) -> None:
        import pynvml

        while True:
            rates = pynvml.nvmlDeviceGetUtilizationRates(self._handle)
            clock_mhz = pynvml.nvmlDeviceGetClockInfo(self._handle, pynvml.NVML_CLOCK_SM)
            processes = len(pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle))
            sample = _Sample(time.monotonic_ns(), float(rates.gpu), float(clock_mhz), processes)
            self._samples.append(sample)
            if self._ended.wait(_PERIOD_S):
                return
