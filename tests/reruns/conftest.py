"""One finished experiment, which these tests change and put back."""

import pytest

from expected_jobs import REPEATS
from experiment import copy_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A small experiment whose table is built."""
    experiment = copy_project(tmp_path_factory.mktemp("finished"))
    experiment.configure(workload={"repeats": REPEATS})
    experiment.build()
    return experiment
