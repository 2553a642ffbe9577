"""Electric power of the GPU, from NVML's counter of energy."""

import contextlib
import time

from semgap.meters.meter_contract import Host, Meter, Readings, Span
from semgap.plumbing.nvml import opened_gpu

HOST = Host.WORKER
SPAN = Span.BACK_TO_BACK
NEEDS_GPU = True


def open_meter(gpu_uuid: str) -> Meter:
    return GpuEnergy(gpu_uuid)


class GpuEnergy(Meter):
    """The whole board's energy between two readings; what other processes use is part of it."""

    def __init__(self, gpu_uuid: str) -> None:
        self._gpu_uuid = gpu_uuid
        self._readings: list[tuple[float, float]] = []

    def __enter__(self) -> None:
        with contextlib.ExitStack() as stack:
            self._gpu = stack.enter_context(opened_gpu(self._gpu_uuid))
            self._look()
            self._opened = stack.pop_all()

    def __exit__(self, *_exception: object) -> None:
        with self._opened:
            self._look()

    def read(self, _begin_ns: int, _end_ns: int) -> Readings:
        if len(self._readings) < 2:
            return {}
        (begin_s, before_j), (end_s, after_j) = self._readings
        return {"gpu_power_w": (after_j - before_j) / (end_s - begin_s)}

    def _look(self) -> None:
        energy_j = self._gpu.energy_j()
        if energy_j is not None:
            self._readings.append((time.monotonic(), energy_j))
