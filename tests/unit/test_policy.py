"""The policy table is the published definition of the modes."""

import pytest

from semgap.errors import ConfigError
from semgap.modes import POLICIES, policy_of


def test_the_table_is_the_one_of_the_design():
    rows = [
        (row.mode, str(row.worker), row.weights, row.kv_cache, row.tokens, row.logits)
        for row in POLICIES
    ]
    assert rows == [
        ("local", "in_process", "resident", "resident", "inline", "inline"),
        ("naive", "server", "inline", "inline", "inline", "inline"),
        ("remote_cache", "server", "resident", "inline", "inline", "inline"),
        ("semantic", "server", "resident", "resident", "inline", "inline"),
        ("delta", "server", "resident", "delta", "inline", "inline"),
        ("token_only", "server", "resident", "resident", "inline", "resident"),
    ]
    assert {row.logit_tolerance for row in POLICIES} == {0.0}


def test_an_unknown_mode_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"no mode 'blind'.*local, naive, remote_cache, semantic"):
        policy_of("blind")
