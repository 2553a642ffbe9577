"""Time in which control groups kept this job from running: a quota of the container, used up."""

from semgap.meters import Growth
from semgap.plumbing.limits import throttled_s


class CpuThrottling(Growth):
    """The client's groups; a worker of the same container is in them, too."""

    quantity = "cpu_throttled_s"

    def now(self) -> float | None:
        return throttled_s()


METER = CpuThrottling
