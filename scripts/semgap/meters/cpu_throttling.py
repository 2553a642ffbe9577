"""Time in which control groups kept this job from running: a quota of the container, used up."""

from semgap.meters.meter_contract import Host, Meter, Readings, Span
from semgap.plumbing.limits import throttled_s

HOST = Host.CLIENT
SPAN = Span.PHASE
NEEDS_GPU = False


def open_meter(_gpu_uuid: str) -> Meter:
    return CpuThrottling()


class CpuThrottling(Meter):
    """The client's groups; a worker of the same container is in them, too."""

    _begin_s: float | None = None
    _end_s: float | None = None

    def __enter__(self) -> None:
        self._begin_s = throttled_s()

    def __exit__(self, *_exception: object) -> None:
        self._end_s = throttled_s()

    def read(self, _begin_ns: int, _end_ns: int) -> Readings:
        if self._begin_s is None or self._end_s is None:
            return {}
        return {"cpu_throttled_s": self._end_s - self._begin_s}
