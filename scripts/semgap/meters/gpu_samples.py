"""GPU utilisation as NVML samples it: the share of time with any kernel in NVML's last window."""

import statistics
import threading
import time

from semgap.meters.meter_contract import Host, Meter, Readings, Span

HOST = Host.WORKER
SPAN = Span.PHASE
NEEDS_GPU = True

_PERIOD_S = 0.1


def open_meter(gpu_uuid: str) -> Meter:
    return GpuSamples(gpu_uuid)


class GpuSamples(Meter):
    """Samples a GPU every 0.1 s in a thread of its own."""

    def __init__(self, gpu_uuid: str) -> None:
        self._gpu_uuid = gpu_uuid
        self._samples_percent: dict[int, float] = {}
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
        within = [
            percent
            for at_ns, percent in self._samples_percent.items()
            if begin_ns <= at_ns < end_ns
        ]
        return {"gpu_nvml_percent": statistics.fmean(within)} if within else {}

    def _sample(self) -> None:
        import pynvml

        while not self._ended.wait(_PERIOD_S):
            rates = pynvml.nvmlDeviceGetUtilizationRates(self._handle)
            self._samples_percent[time.monotonic_ns()] = float(rates.gpu)
