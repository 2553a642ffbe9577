"""GPU utilisation as NVML samples it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

_PERIOD_S = 0.1


@dataclass(frozen=True)
class GpuSample:
    """One reading: the share of time, in percent, in which any kernel ran in NVML's last window."""

    unix_ns: int
    utilisation_percent: float


class GpuSampler:
    """Samples collected so far; the list of a machine without a GPU stays empty."""

    def __init__(self) -> None:
        self._samples: list[GpuSample] = []

    def add(self, sample: GpuSample) -> None:
        """Add a reading."""
        self._samples.append(sample)

    def between(self, begin_unix_ns: int, end_unix_ns: int) -> tuple[float, ...]:
        """Utilisation in percent of the samples taken in an interval of the wall clock."""
        return tuple(
            sample.utilisation_percent
            for sample in self._samples
            if begin_unix_ns <= sample.unix_ns < end_unix_ns
        )


@contextlib.contextmanager
def gpu_samples(gpu_uuid: str) -> Iterator[GpuSampler]:
    """Sample a GPU every 0.1 s in a thread of its own; no GPU, no samples.

    Args:
        gpu_uuid: as NVML prints it ("GPU-…"); empty where a CPU computes.
    """
    sampler = GpuSampler()
    if not gpu_uuid:
        yield sampler
        return
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByUUID(gpu_uuid)
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(_PERIOD_S):
            rates = pynvml.nvmlDeviceGetUtilizationRates(handle)
            sampler.add(GpuSample(time.time_ns(), float(rates.gpu)))

    thread = threading.Thread(target=sample, name="nvml")
    thread.start()
    try:
        yield sampler
    finally:
        ended.set()
        thread.join()
        pynvml.nvmlShutdown()
