"""The GPU's clock, memory and processes, looked at when a phase begins and ends."""

import statistics

import torch

from semgap.meters import NvmlMeter, Readings


class GpuState(NvmlMeter):
    """Asks nothing in between, so it may be there while latency is measured."""

    def __init__(self, gpu_uuid: str = "") -> None:
        super().__init__(gpu_uuid)
        self._clocks_mhz: list[float] = []
        self._processes: list[int] = []
        self._peak_bytes = 0

    def __enter__(self) -> None:
        super().__enter__()
        torch.cuda.reset_peak_memory_stats()

    def __exit__(self, *_exception: object) -> None:
        self._peak_bytes = torch.cuda.max_memory_allocated()
        super().__exit__()

    def read(self, begin_ns: int, end_ns: int) -> Readings:
        readings: dict[str, float] = {"gpu_memory_peak_bytes": self._peak_bytes}
        if self._processes:
            readings["gpu_processes"] = max(self._processes)
        if self._clocks_mhz:
            readings["gpu_sm_clock_mhz"] = statistics.fmean(self._clocks_mhz)
        return readings

    def look(self) -> None:
        processes = self.gpu.processes()
        if processes is not None:
            self._processes.append(len(processes))
        clock_mhz = self.gpu.sm_clock_mhz()
        if clock_mhz is not None:
            self._clocks_mhz.append(clock_mhz)


METER = GpuState
