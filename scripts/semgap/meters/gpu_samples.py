"""GPU utilisation and clock as NVML samples them."""

import statistics
import threading
import time
from typing import NamedTuple

from semgap.meters import NvmlMeter, Readings, Span

_PERIOD_S = 0.1
# A sample speaks of the time before it.
_SETTLED_NS = 1_000_000_000


class _Sample(NamedTuple):
    at_ns: int
    percent: float | None
    sm_clock_mhz: float | None


class GpuSamples(NvmlMeter):
    """Samples a GPU every 0.1 s, in a thread of its own."""

    span = Span.BACK_TO_BACK

    def __init__(self, gpu_uuid: str = "") -> None:
        super().__init__(gpu_uuid)
        self._samples: list[_Sample] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="nvml", daemon=True)

    def __enter__(self) -> None:
        super().__enter__()
        self._thread.start()

    def __exit__(self, *_exception: object) -> None:
        self._ended.set()
        self._thread.join()
        super().__exit__()

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
            percent, clock_mhz = self.gpu.utilisation_percent(), self.gpu.sm_clock_mhz()
            self._samples.append(_Sample(time.monotonic_ns(), percent, clock_mhz))


METER = GpuSamples
