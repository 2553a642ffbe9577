"""One finished experiment, shared by the tests that only look at it."""

from __future__ import annotations

import pytest

from experiment import copy_project, free_port


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A small experiment whose table is built; tests must leave it as it is."""
    experiment = copy_project(tmp_path_factory.mktemp("finished"), free_port())
    experiment.build()
    return experiment
