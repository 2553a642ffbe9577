"""Processor time of the client's process: what moving tensors costs the side without a GPU."""

import time

from semgap.meters.meter_contract import Host, Meter, Readings, Span

HOST = Host.CLIENT
SPAN = Span.PHASE
NEEDS_GPU = False


def open_meter(_gpu_uuid: str) -> Meter:
    return ClientCpu()


class ClientCpu(Meter):
    """All threads, user and system time."""

    _begin_s = 0.0
    _busy_s = 0.0

    def __enter__(self) -> None:
        self._begin_s = time.process_time()

    def __exit__(self, *_exception: object) -> None:
        self._busy_s = time.process_time() - self._begin_s

    def read(self, _begin_ns: int, _end_ns: int) -> Readings:
        return {"client_cpu_busy_s": self._busy_s}
