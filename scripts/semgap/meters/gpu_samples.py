"""GPU utilisation and clock as NVML samples them."""

import contextlib
import statistics
import threading
import time
from typing import NamedTuple

from semgap.meters.meter_contract import Host, Meter, Readings, Span
from semgap.plumbing.nvml import opened_gpu

HOST = Host.WORKER
SPAN = Span.BACK_TO_BACK
NEEDS_GPU = True

_PERIOD_S = 0.1
# A sample speaks of the time before it.
_SETTLED_NS = 1_000_000_000


def open_meter(gpu_uuid: str) -> Meter:
    return GpuSamples(gpu_uuid)


class _Sample(NamedTuple):
    at_ns: int
    percent: float | None
    sm_clock_mhz: float | None


class GpuSamples(Meter):
    """Samples a GPU every 0.1 s, in a thread of its own."""

    def __init__(self, gpu_uuid: str) -> None:
        self._gpu_uuid = gpu_uuid
        self._samples: list[_Sample] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="nvml", daemon=True)

    def __enter__(self) -> None:
        with contextlib.ExitStack() as stack:
            self._gpu = stack.enter_context(opened_gpu(self._gpu_uuid))
            self._thread.start()
            self._opened = stack.pop_all()

    def __exit__(self, *_exception: object) -> None:
        with self._opened:
            self._ended.set()
            self._thread.join()

    def read(self, begin_ns: int, end_ns: int) -> Readings:
        within = [one for one in self._samples if begin_ns + _SETTLED_NS <= one.at_ns < end_ns]
        numbers = {
            "gpu_nvml_percent": [one.percent for one in within],
            "gpu_nvml_sm_clock_mhz": [one.sm_clock_mhz for one in within],
        }
        given = {
            name: [value for value in values if value is not None]
            for name, values in numbers.items()
        }
        return {name: statistics.fmean(values) for name, values in given.items() if values}

    def _sample(self) -> None:
        while not self._ended.wait(_PERIOD_S):
            percent, clock_mhz = self._gpu.utilisation_percent(), self._gpu.sm_clock_mhz()
            self._samples.append(_Sample(time.monotonic_ns(), percent, clock_mhz))
