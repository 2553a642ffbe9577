"""How far the clocks of two machines are apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from semgap.records import ClockOffset

_EXCHANGES = 16


class Reading(NamedTuple):
    """One exchange: the asking side's clock before and after, the other's in between."""

    begin_ns: int
    other_begin_ns: int
    other_end_ns: int
    end_ns: int


def measure_offset(read: Callable[[], Reading]) -> ClockOffset:
    """Measure how far the other side's monotonic clock is ahead of the own one."""
    return offset_of([read() for _ in range(_EXCHANGES)])


def offset_of(readings: Iterable[Reading]) -> ClockOffset:
    """The offset by the exchange with the shortest round trip (RFC 5905, section 8).

    The true offset differs from it by at most half of that round trip.
    """
    best = min(readings, key=_round_trip_ns)
    middle = (best.begin_ns + best.end_ns) // 2
    other_middle = (best.other_begin_ns + best.other_end_ns) // 2
    return ClockOffset(other_middle - middle, -(-_round_trip_ns(best) // 2))


def _round_trip_ns(reading: Reading) -> int:
    return (reading.end_ns - reading.begin_ns) - (reading.other_end_ns - reading.other_begin_ns)
