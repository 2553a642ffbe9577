"""Another machine's clock, related to this one's: simulated, with delays that scatter."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sample_runs import begin_of, phase, run, step
from semgap.measurement.job import without_drift
from semgap.plumbing.clocks import ClockRelation, RoundTrip, offset_of, relation_of

SECOND_NS = 1_000_000_000

delays_ns = st.integers(0, 5_000_000)
clocks = st.tuples(st.integers(-(10**15), 10**15), st.floats(-200, 200))
round_trips = st.lists(st.tuples(delays_ns, delays_ns), min_size=1, max_size=50)


def worker_clock(client_ns, ahead_ns, rate_ppm):
    return round(client_ns + ahead_ns + rate_ppm / 1e6 * client_ns)


def trips(begin_ns, delays, clock):
    """Exchanges in a row: the client's clock counts from 0, the worker answers at once."""
    sent_ns = begin_ns
    for there_ns, back_ns in delays:
        reading = worker_clock(sent_ns + there_ns, *clock)
        yield RoundTrip(sent_ns, reading, reading, sent_ns + there_ns + back_ns)
        sent_ns += there_ns + back_ns + 1000


@given(clocks, round_trips)
def test_the_offset_lies_within_its_bound(clock, delays):
    found = offset_of(trips(SECOND_NS, delays, clock))
    true_ns = worker_clock(found.at_ns, *clock) - found.at_ns
    # What the clock drifts by while it is read: 50 round trips of 10 ms at 200 ppm.
    assert abs(found.offset_ns - true_ns) <= found.bound_ns + 100_000


def test_the_quickest_round_trip_decides():
    slow = [(3_000_000, 10_000)] * 20
    found = offset_of(trips(0, [*slow, (20_000, 20_000), *slow], (10**12, 0.0)))
    assert found.bound_ns <= 20_001
    assert abs(found.offset_ns - 10**12) <= found.bound_ns


@given(clocks, st.integers(1, 60))
def test_the_drift_is_the_clocks_own(clock, seconds):
    quick = [(10_000, 10_000)] * 10
    first = offset_of(trips(0, quick, clock))
    last = offset_of(trips(seconds * SECOND_NS, quick, clock))
    relation = relation_of(first, last)
    assert relation.drift_ppm == pytest.approx(clock[1], abs=0.05 / seconds + 1e-3)
    assert relation.bound_ns <= 20_000


def test_a_drift_is_taken_out_of_sending_and_receiving_and_of_nothing_else():
    """A clock that gains 100 ppm: a second later, what is sent seems to take 100 µs longer."""
    relation = ClockRelation(0, 5, 100.0, 10)
    late = msgspec.structs.replace(step(), begin_ns=SECOND_NS)
    seen = msgspec.structs.replace(
        late, send_s=late.send_s + 100e-6, receive_s=late.receive_s - 100e-6
    )
    before = phase("decode", 1, steps=(seen,))
    (after,) = without_drift([before], relation)
    (corrected,) = after.steps
    for name in late.__struct_fields__:
        found, expected = getattr(corrected, name), getattr(late, name)
        assert found == (pytest.approx(expected) if isinstance(expected, float) else expected)
    assert without_drift([before], None) == (before,)


def test_a_run_with_two_clocks_says_within_what_its_spans_are_known():
    assert run().clock_bound_s == 0
    assert run(clocks=ClockRelation(begin_of("naive", 1), 0, 1.0, 250_000)).clock_bound_s == 250e-6
