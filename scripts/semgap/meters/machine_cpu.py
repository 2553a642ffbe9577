"""Processor time of the whole machine: shows what other processes used meanwhile."""

import psutil

from semgap.meters import Growth, Readings


class MachineCpu(Growth):
    """All processors, without idle time and without waiting for disks."""

    quantity = "machine_cpu_s"

    def now(self) -> float:
        times = psutil.cpu_times()
        return float(times.user + times.nice + times.system + times.irq + times.softirq)

    def read(self, begin_ns: int, end_ns: int) -> Readings:
        return {**super().read(begin_ns, end_ns), "machine_window_s": (end_ns - begin_ns) / 1e9}


METER = MachineCpu
