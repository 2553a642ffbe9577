"""Models that all tests share, and the time that each suite may take."""

from __future__ import annotations

import pytest

from small_models import ARCHITECTURES, store_small_model

# Minutes on two cores; all together stay well within half an hour.
BUDGETS_MIN = {"unit": 8, "workflow": 16, "planted": 8}


def pytest_terminal_summary(terminalreporter):
    """Print what each suite took of its budget."""
    took_s = dict.fromkeys(BUDGETS_MIN, 0.0)
    for reports in terminalreporter.stats.values():
        for report in reports:
            suite = getattr(report, "nodeid", "").removeprefix("tests/").partition("/")[0]
            if suite in took_s:
                took_s[suite] += getattr(report, "duration", 0.0)
    for suite, budget_min in BUDGETS_MIN.items():
        if took_s[suite]:
            terminalreporter.write_line(
                f"{suite}: {took_s[suite] / 60:.1f} min of a budget of {budget_min}"
            )


@pytest.fixture(params=ARCHITECTURES, scope="session")
def stored_model(request, tmp_path_factory):
    """A small model of each architecture: its folder of weights and its manifest."""
    return store_small_model(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def gptj(tmp_path_factory):
    """A small GPT-J: its folder of weights and its manifest."""
    return store_small_model("gptj", tmp_path_factory.mktemp("gptj"))
