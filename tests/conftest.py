"""Models that all tests share, the time that each suite may take, and what may be left behind."""

import tempfile
from collections import Counter
from typing import NamedTuple

import pytest

from leftovers import Watch
from networks import enter_a_network_of_ones_own
from patience import PATIENCE_S
from small_models import ARCHITECTURES, store_small_model


class Suite(NamedTuple):
    """What a folder of tests takes, and when one of its tests is taken to hang.

    Attributes:
        budget_min: all of its tests together on a quiet machine with two cores, of which the other
            runs other suites; told beside what they took, and nothing fails by it.
        timeout_s: one test with its fixtures; then it is ended, and its stack printed.
    """

    budget_min: float
    timeout_s: float


SUITES = {
    "unit": Suite(1.5, 5 * PATIENCE_S),
    "integration": Suite(3, 10 * PATIENCE_S),
    "reruns": Suite(2.4, 20 * PATIENCE_S),
    "planted": Suite(2, 10 * PATIENCE_S),
    "workflow": Suite(6.5, 20 * PATIENCE_S),
}


def suite_of(nodeid):
    return nodeid.removeprefix("tests/").partition("/")[0]


def pytest_sessionstart():
    enter_a_network_of_ones_own()


def pytest_collection_modifyitems(items):
    """Give each test its suite's time-out."""
    for item in items:
        if (suite := SUITES.get(suite_of(item.nodeid))) is not None:
            item.add_marker(pytest.mark.timeout(suite.timeout_s))


def pytest_terminal_summary(terminalreporter):
    """Print what each suite took of its budget, and in one line what was not judged."""
    took_s = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            took_s[suite_of(getattr(report, "nodeid", ""))] += getattr(report, "duration", 0.0)
    for name, suite in SUITES.items():
        if took_s[name]:
            terminalreporter.write_line(
                f"{name}: {took_s[name] / 60:.1f} min of a budget of {suite.budget_min:g}"
            )
    skipped = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", ())
    )
    if skipped:
        reasons = "; ".join(f"{reason} ({n})" for reason, n in sorted(skipped.items()))
        terminalreporter.write_line(f"Not judged on this machine: {reasons}")


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_behind(tmp_path_factory):
    """The last of all: no process, port or file of the tests outlives them."""
    watch = Watch(tmp_path_factory.mktemp("places"))
    tempfile.tempdir = None
    yield
    assert watch.leftovers() == []


@pytest.fixture(params=ARCHITECTURES, scope="session")
def stored_model(request, tmp_path_factory):
    """A small model of each architecture: its folder of weights and its manifest."""
    return store_small_model(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def gptj(tmp_path_factory):
    """A small GPT-J: its folder of weights and its manifest."""
    return store_small_model("gptj", tmp_path_factory.mktemp("gptj"))
