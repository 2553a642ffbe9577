"""Models that all tests share."""

from __future__ import annotations

import pytest

from small_models import ARCHITECTURES, store_small_model


@pytest.fixture(params=ARCHITECTURES, scope="session")
def stored_model(request, tmp_path_factory):
    """A small model of each architecture: its folder of weights and its manifest."""
    return store_small_model(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def gptj(tmp_path_factory):
    """A small GPT-J: its folder of weights and its manifest."""
    return store_small_model("gptj", tmp_path_factory.mktemp("gptj"))
