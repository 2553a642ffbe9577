"""Electric power of the GPU, from NVML's counter of energy."""

import time

from semgap.meters import NvmlMeter, Readings, Span


class GpuEnergy(NvmlMeter):
    """The whole board's energy between two readings; what other processes use is part of it."""

    span = Span.BACK_TO_BACK

    def __init__(self, gpu_uuid: str = "") -> None:
        super().__init__(gpu_uuid)
        self._readings: list[tuple[float, float]] = []

    def read(self, begin_ns: int, end_ns: int) -> Readings:
        if len(self._readings) < 2:
            return {}
        (begin_s, before_j), (end_s, after_j) = self._readings
        return {"gpu_power_w": (after_j - before_j) / (end_s - begin_s)}

    def look(self) -> None:
        energy_j = self.gpu.energy_j()
        if energy_j is not None:
            self._readings.append((time.monotonic(), energy_j))


METER = GpuEnergy
