"""One finished experiment, and a copy of it for each error."""

from __future__ import annotations

import pytest

from control import build_control, copy_of


@pytest.fixture(scope="session")
def control(tmp_path_factory):
    """An experiment whose table is built; tests must leave it as it is."""
    return build_control(tmp_path_factory.mktemp("control"))


@pytest.fixture
def experiment(control, tmp_path):
    """A copy of the finished experiment."""
    return copy_of(control, tmp_path)
