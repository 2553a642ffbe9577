"""The points of a sweep: their names, their configurations, and what a wrong sweep says."""

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from semgap.errors import ConfigError
from semgap.pipeline.config import load_config, read_values
from semgap.pipeline.sweep import points_of
from small_models import PROJECT

DEFAULT = PROJECT / "config" / "default.yaml"
SWEEPS = sorted((PROJECT / "config" / "sweeps").glob("*.yaml"))


def with_sweep(sweep):
    return {**read_values(DEFAULT), "experiment": "some", "sweep": sweep}


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)
def test_the_sweeps_that_are_here_have_points(file):
    points = points_of(read_values(DEFAULT, file))
    sweep = yaml.safe_load(file.read_text())["sweep"]
    lists = [values for values in sweep.values() if isinstance(values, list)]
    assert len(points) == (math.prod(map(len, lists)) if lists else len(sweep)) > 0


def test_points_may_be_named_by_numbers():
    assert list(points_of(with_sweep({8: {}, "x": {}}))) == ["some-8", "some-x"]


numbers = st.lists(st.integers(1, 99), min_size=1, max_size=4, unique=True)


@given(numbers, numbers)
def test_a_product_has_each_combination_once(tokens, steps):
    points = points_of(
        with_sweep({"workload.prompt_tokens": tokens, "workload.decode_steps": steps})
    )
    seen = {
        name: (config.workload.prompt_tokens, config.workload.decode_steps)
        for name, config in zip(points, map(load_config, points.values()), strict=True)
    }
    assert seen == {f"some-{one}-{other}": (one, other) for one in tokens for other in steps}


def test_named_points_change_what_they_name_and_nothing_else():
    plain = read_values(DEFAULT)
    points = points_of(
        with_sweep({"short": {"workload.prompt_tokens": 8}, "eager": {"worker.compute_threads": 1}})
    )
    assert list(points) == ["some-short", "some-eager"]
    for name, section, key, value in (
        ("some-short", "workload", "prompt_tokens", 8),
        ("some-eager", "worker", "compute_threads", 1),
    ):
        section_of_plain = plain.get(section, {})
        expected = {**plain, "experiment": name, section: {**section_of_plain, key: value}}
        assert points[name] == expected


def test_without_a_sweep_the_experiment_is_the_only_point():
    plain = read_values(DEFAULT)
    assert points_of(plain) == {plain["experiment"]: plain}


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ([1, 2], r"key 'sweep' is \[1, 2\]. Give it a list of values for each key"),
        ({}, "key 'sweep' is {}"),
        ({"workload.prompt_tokens": 8}, "Give it a list of values"),
        ({"workload.prompt_tokens": [8], "a": {"workload.decode_steps": 1}}, "Give it a list"),
        ({"workload.prompt_tokens": [8, 8]}, "Two points of the sweep are 'some-8'"),
        ({"workload.prompt_token": [8]}, "no key 'workload.prompt_token'"),
        ({"workload.prompt_tokens": [0]}, "'workload.prompt_tokens' is 0"),
    ],
)
def test_refused_a_sweep_that_is_none(sweep, said):
    with pytest.raises(ConfigError, match=said):
        points_of(with_sweep(sweep))


def test_refused_a_sweep_where_one_experiment_is_wanted():
    with pytest.raises(ConfigError, match="it describes several experiments"):
        load_config(with_sweep({"workload.prompt_tokens": [8]}))
