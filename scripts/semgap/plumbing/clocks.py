"""Clocks related to each other: two of this machine, and another machine's to this one's."""

import time
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

# A read between which the scheduler took the processor away is a bad one.
_READS = 5


class ClockReading(NamedTuple):
    """Both clocks at one instant."""

    unix_ns: int  # nanoseconds since 1970 UTC, as packets are stamped
    monotonic_ns: int
    bound_ns: int  # how far apart the two instants can have been

    def unix_ns_at(self, monotonic_ns: int) -> int:
        """What the wall clock shows at another instant, within moments of this one."""
        return self.unix_ns + monotonic_ns - self.monotonic_ns


def read_clocks() -> ClockReading:
    """Read the wall clock between two reads of the monotonic one; of some reads, the closest."""
    return min((_read() for _ in range(_READS)), key=lambda reading: reading.bound_ns)


def _read() -> ClockReading:
    before_ns = time.monotonic_ns()
    unix_ns = time.time_ns()
    after_ns = time.monotonic_ns()
    bound_ns = (after_ns - before_ns + 1) // 2
    return ClockReading(unix_ns, before_ns + bound_ns, bound_ns)


class RoundTrip(NamedTuple):
    """A request and its reply, stamped by two monotonic clocks (ns)."""

    sent: int  # here
    received: int  # there
    departing: int  # there
    arrived: int  # here


class Offset(NamedTuple):
    """How far another clock is ahead of this one."""

    at_ns: int  # this clock
    offset_ns: int
    bound_ns: int  # the offset is within so much of it


class ClockRelation(msgspec.Struct, frozen=True):
    """How the worker's monotonic clock runs beside the client's over a session."""

    at_ns: int  # the client's clock when the offset was measured first
    offset_ns: int  # how far the worker's was ahead then
    drift_ppm: float  # how much further it is ahead after a million nanoseconds of the client's
    bound_ns: int  # the offset is within so much of the line between its two measurements

    def drifted_s(self, at_ns: int) -> float:
        """How much further the worker's clock was ahead at an instant of the client's (s)."""
        return self.drift_ppm / 1e6 * (at_ns - self.at_ns) / 1e9


def offset_of(round_trips: Iterable[RoundTrip]) -> Offset:
    """Bound the offset by causality: nothing arrives before it was sent.

    Each round trip bounds the offset from both sides; the smallest ones bound it closest (Cristian,
    Probabilistic clock synchronization, Distributed Computing 3, 1989).

    Args:
        round_trips: one at least, made within a moment, in which neither clock drifts noticeably.
    """
    trips = list(round_trips)
    most_ns = min(trip.received - trip.sent for trip in trips)
    least_ns = max(trip.departing - trip.arrived for trip in trips)
    return Offset(
        trips[len(trips) // 2].sent, (most_ns + least_ns) // 2, abs(most_ns - least_ns + 1) // 2
    )


def relation_of(first: Offset, last: Offset) -> ClockRelation:
    """The line through the offsets at the beginning and the end of a session."""
    drift = (last.offset_ns - first.offset_ns) / (last.at_ns - first.at_ns)
    return ClockRelation(
        first.at_ns, first.offset_ns, 1e6 * drift, max(first.bound_ns, last.bound_ns)
    )
