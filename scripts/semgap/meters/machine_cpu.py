"""Processor time of the whole machine: shows what other processes used meanwhile."""

import psutil

from semgap.meters.meter_contract import Host, Meter, Readings, Span

HOST = Host.CLIENT
SPAN = Span.PHASE
NEEDS_GPU = False


def open_meter(_gpu_uuid: str) -> Meter:
    return MachineCpu()


class MachineCpu(Meter):
    """All processors, without idle time and without waiting for disks."""

    _begin_s = 0.0
    _used_s = 0.0

    def __enter__(self) -> None:
        self._begin_s = _busy_s()

    def __exit__(self, *_exception: object) -> None:
        self._used_s = _busy_s() - self._begin_s

    def read(self, begin_ns: int, end_ns: int) -> Readings:
        return {"machine_cpu_s": self._used_s, "machine_window_s": (end_ns - begin_ns) / 1e9}


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)
