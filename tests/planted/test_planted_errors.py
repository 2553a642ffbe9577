"""Every planted error runs to its end, meets the check that is its own, and is not published."""

from __future__ import annotations

import re
import shutil

import pytest

from control import published_table, remove_last_count, remove_last_run, run_with, withdraw
from mutants import MUTANTS, Mutant
from semgap.checks.catalogue import Check, Finding
from semgap.csv_rows import read_rows

# Found before the runs are verified, and after.
_OF_CAPTURES = {Check.CAPTURE_DROPS, Check.CAPTURE_COMPLETE, Check.CAPTURE_CONTROL}
_OF_TABLES = {Check.PUBLISHED}

_NAMED_CHECK = re.compile(r"check ([a-z-]+) failed|\(check ([a-z-]+)\)")

needs_tcpdump = pytest.mark.skipif(
    shutil.which("tcpdump", path="/usr/sbin:/usr/bin:/sbin:/bin") is None,
    reason="tcpdump is not installed",
)


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(each, id=each.title, marks=[needs_tcpdump] if each.captured else [])
        for each in MUTANTS
    ],
)
def test_a_planted_error_is_caught_by_its_check(experiment, mutant: Mutant):
    withdraw(experiment)
    if mutant.measured:
        remove_last_run(experiment, mutant.measured)
    if mutant.counted:
        remove_last_count(experiment, mutant.counted)
    if mutant.tampered is not None:
        mutant.tampered(experiment)
    done = run_with(mutant.error, experiment)
    assert done.returncode != 0, done.stdout
    assert not published_table(experiment).exists()
    assert not (experiment.results / "table.md").exists()
    named = [failed or capture for failed, capture in _NAMED_CHECK.findall(done.stdout)]
    assert named and named[0] == mutant.check, done.stdout
    _assert_reported(experiment, mutant)


def _assert_reported(experiment, mutant):
    """What checks.csv must say: nothing of errors that are found before or after the runs are."""
    findings_file = experiment.results / "checks.csv"
    if mutant.check in _OF_CAPTURES:
        assert not findings_file.exists()
        return
    found = [finding.check for finding in read_rows(findings_file, Finding)]
    if mutant.check in _OF_TABLES:
        assert found == []
        return
    assert found[0] is mutant.check
    assert mutant.also <= set(found)
