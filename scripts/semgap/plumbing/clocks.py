"""The wall clock and the monotonic clock of this machine, related to each other."""

import time
from typing import NamedTuple

# A read between which the scheduler took the processor away is a bad one.
_READS = 5


class ClockReading(NamedTuple):
    """Both clocks at one instant."""

    unix_ns: int  # nanoseconds since 1970 UTC, as packets are stamped
    monotonic_ns: int
    bound_ns: int  # how far apart the two instants can have been


def read_clocks() -> ClockReading:
    """Read the wall clock between two reads of the monotonic one; of some reads, the closest."""
    return min((_read() for _ in range(_READS)), key=lambda reading: reading.bound_ns)


def _read() -> ClockReading:
    before_ns = time.monotonic_ns()
    unix_ns = time.time_ns()
    after_ns = time.monotonic_ns()
    bound_ns = (after_ns - before_ns + 1) // 2
    return ClockReading(unix_ns, before_ns + bound_ns, bound_ns)
