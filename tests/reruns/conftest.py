"""One finished experiment, which these tests change and put back."""

import pytest

from experiment import copy_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A small experiment whose table is built."""
    experiment = copy_project(tmp_path_factory.mktemp("finished"))
    experiment.build()
    return experiment
