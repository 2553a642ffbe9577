"""Warm-up ends when two rehearsals agree, or when the settings allow no more."""

import pytest

from semgap.measurement.job import rehearse
from semgap.measurement.job_settings import WorkloadSettings
from semgap.measurement.run_record import Rehearsal, settled


def rehearsed(latencies_s, **settings):
    """Rehearse phases that take so long, one after the other; returns the rehearsals and whether
    they settled."""
    takes = iter(latencies_s)
    workload = WorkloadSettings(**settings)
    done = rehearse(
        lambda: Rehearsal(dict(zip(("prefill", "decode"), next(takes), strict=True))), workload
    )
    return [tuple(one.latencies_s.values()) for one in done], settled(done, workload)


def test_two_that_agree_in_a_row_are_enough():
    """The first and the third agree too, but not in a row."""
    latencies_s = [(1.0, 2.0), (2.0, 2.0), (1.0, 2.0), (1.0, 2.1), (9.0, 9.0)]
    assert rehearsed(latencies_s, rehearsals_at_most=9) == (latencies_s[:4], True)


@pytest.mark.parametrize("second", [(1.2, 2.0), (1.0, 2.4), (1 / 1.2, 2.0)])
def test_each_phase_has_to_agree(second):
    assert rehearsed([(1.0, 2.0), second], rehearsals_at_most=2) == ([(1.0, 2.0), second], False)


def test_one_rehearsal_never_settles():
    assert rehearsed([(1.0, 1.0), (1.0, 1.0)], rehearsals_at_most=1) == ([(1.0, 1.0)], False)


def test_the_ratio_is_the_setting():
    latencies_s = [(1.0, 1.0), (1.4, 0.8)]
    found = rehearsed(latencies_s, rehearsals_at_most=2, rehearsals_agree_ratio=1.5)
    assert found == (latencies_s, True)


def test_one_that_takes_long_is_enough():
    long, longer = (1.9, 3.1), (9.0, 9.0)
    assert rehearsed([long, longer], rehearsals_at_most=3) == ([long], True)
    # After one that did not.
    assert rehearsed([(1.0, 3.9), long, longer], rehearsals_at_most=3) == ([(1.0, 3.9), long], True)
