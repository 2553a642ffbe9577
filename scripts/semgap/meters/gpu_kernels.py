"""Time in GPU kernels and their number, from CUPTI through torch.profiler."""

from collections.abc import Iterable

import torch
from torch.autograd import DeviceType  # type: ignore[attr-defined]

from semgap.meters import Host, Meter, Readings, Span


class GpuKernels(Meter):
    """Length of the union of all kernels' intervals, copies and fills among them."""

    host = Host.WORKER
    span = Span.PASS
    needs_gpu = True

    def __init__(self, gpu_uuid: str = "") -> None:
        super().__init__(gpu_uuid)
        self._profile = torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CUDA], acc_events=True
        )

    def __enter__(self) -> None:
        self._profile.start()

    def __exit__(self, *_exception: object) -> None:
        torch.cuda.synchronize()
        self._profile.stop()

    def read(self, begin_ns: int, end_ns: int) -> Readings:
        intervals_us = [
            (event.time_range.start, event.time_range.end)
            for event in self._profile.events()
            if event.device_type == DeviceType.CUDA
        ]
        if not intervals_us:
            # A pass has kernels: this driver or container lets nobody trace them.
            return {}
        return {
            "gpu_kernel_busy_s": union_length(intervals_us) / 1e6,
            "gpu_kernel_span_s": (max(end for _, end in intervals_us) - min(intervals_us)[0]) / 1e6,
            "gpu_kernels": len(intervals_us),
        }


def union_length(intervals: Iterable[tuple[float, float]]) -> float:
    """Total length covered by (begin, end) intervals that may overlap, in their own unit."""
    total = 0.0
    covered_until = float("-inf")
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, covered_until))
        covered_until = max(covered_until, end)
    return total


METER = GpuKernels
