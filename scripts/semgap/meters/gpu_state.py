"""The GPU's clock, memory and processes, looked at when a phase begins and ends."""

import contextlib
import statistics

import torch

from semgap.meters.meter_contract import Host, Meter, Readings, Span
from semgap.plumbing.nvml import opened_gpu

HOST = Host.WORKER
SPAN = Span.PHASE
NEEDS_GPU = True


def open_meter(gpu_uuid: str) -> Meter:
    return GpuState(gpu_uuid)


class GpuState(Meter):
    """Asks nothing in between, so it may be there while latency is measured."""

    def __init__(self, gpu_uuid: str) -> None:
        self._gpu_uuid = gpu_uuid
        self._clocks_mhz: list[float] = []
        self._processes: list[int] = []
        self._peak_bytes = 0

    def __enter__(self) -> None:
        with contextlib.ExitStack() as stack:
            self._gpu = stack.enter_context(opened_gpu(self._gpu_uuid))
            self._look()
            self._opened = stack.pop_all()
        torch.cuda.reset_peak_memory_stats()

    def __exit__(self, *_exception: object) -> None:
        self._peak_bytes = torch.cuda.max_memory_allocated()
        with self._opened:
            self._look()

    def read(self, _begin_ns: int, _end_ns: int) -> Readings:
        readings: dict[str, float] = {"gpu_memory_peak_bytes": self._peak_bytes}
        if self._processes:
            readings["gpu_processes"] = max(self._processes)
        if self._clocks_mhz:
            readings["gpu_sm_clock_mhz"] = statistics.fmean(self._clocks_mhz)
        return readings

    def _look(self) -> None:
        processes = self._gpu.processes()
        if processes is not None:
            self._processes.append(len(processes))
        clock_mhz = self._gpu.sm_clock_mhz()
        if clock_mhz is not None:
            self._clocks_mhz.append(clock_mhz)
