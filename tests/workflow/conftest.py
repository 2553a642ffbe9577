"""One finished experiment, shared by the tests that only look at it."""

from __future__ import annotations

import pytest

from experiment import LINK_REPORTS, copy_project, free_port


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A small experiment whose table is built; tests must leave it as it is."""
    experiment = copy_project(tmp_path_factory.mktemp("finished"), free_port())
    experiment.build()
    return experiment


@pytest.fixture(scope="session")
def over_tcp(tmp_path_factory):
    """The same experiment over the other transport, with the reports on the link."""
    experiment = copy_project(tmp_path_factory.mktemp("over_tcp"), free_port())
    experiment.configure(
        server={"transport": "tcp"},
        link={"max_message_bytes": 2_000_000, "rounds": 2, "round_trips": 100},
    )
    experiment.build("results/table.md", *LINK_REPORTS)
    return experiment


@pytest.fixture(params=["finished", "over_tcp"])
def each(request):
    """The experiment over each transport in turn."""
    return request.getfixturevalue(request.param)
