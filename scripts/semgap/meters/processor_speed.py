"""How fast the processor is right now: a fixed amount of work, timed before and after a phase.

A shared processor changes its speed from second to second, and with it each step that waits for
the processor, so differences between repeats are judged beside it.
"""

import time

from semgap.meters import Meter, Readings, Span

# Some milliseconds: long enough to be timed, short beside a job.
_ADDITIONS = 100_000


class ProcessorSpeed(Meter):
    """The mean duration of a loop of additions in one thread of the client."""

    span = Span.BESIDE

    def __enter__(self) -> None:
        self._before_s = _loop_s()

    def __exit__(self, *_exception: object) -> None:
        self._after_s = _loop_s()

    def read(self, begin_ns: int, end_ns: int) -> Readings:
        return {"reference_loop_s": (self._before_s + self._after_s) / 2}


def _loop_s() -> float:
    begin_s = time.perf_counter()
    total = 0
    for number in range(_ADDITIONS):
        total += number
    return time.perf_counter() - begin_s


METER = ProcessorSpeed
