"""The policy table is the published definition of the modes."""

import itertools

import msgspec
import pytest

from semgap.errors import ConfigError
from semgap.modes import POLICIES, check_policy, places_of, policy_of
from semgap.policy import TensorClass


def test_the_table_is_the_one_of_the_design():
    rows = [
        (row.mode, str(row.worker), row.weights, row.kv_cache, row.tokens, row.logits)
        for row in POLICIES
        if row.encoding is None and row.executor == "forward_pass"
    ]
    assert rows == [
        ("local", "in_process", "resident", "resident", "inline", "inline"),
        ("naive", "server", "inline", "inline", "inline", "inline"),
        ("remote_cache", "server", "resident", "inline", "inline", "inline"),
        ("semantic", "server", "resident", "resident", "inline", "inline"),
        ("delta", "server", "resident", "delta", "inline", "inline"),
        ("token_only", "server", "resident", "resident", "inline", "resident"),
    ]
    operators = {row.mode: (row.weights, row.kv_cache, row.executor) for row in POLICIES[6:9]}
    assert operators == {
        "op_sync": ("resident", "resident", "per_operation"),
        "op_pipelined": ("resident", "resident", "pipelined_operations"),
        "op_graph": ("resident", "resident", "recorded_operations"),
    }
    encoded = {row.mode: (row.weights, row.encoding) for row in POLICIES if row.encoding}
    assert encoded == {
        "content_addressed": ("inline", "content_addressed"),
        "compressed": ("resident", "zstd"),
        "fp8": ("resident", "fp8"),
    }
    assert {row.kv_cache for row in POLICIES if row.encoding} == {"inline"}
    assert [row.mode for row in POLICIES if row.logit_tolerance] == ["op_graph", "fp8"]


def test_an_encoding_that_does_not_exist_is_refused():
    row = msgspec.structs.replace(POLICIES[1], encoding="gzip")
    with pytest.raises(ConfigError, match=r"'gzip'.*can be content_addressed or fp8 or zstd"):
        check_policy(row)


def test_an_unknown_mode_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"no mode 'blind'.*local, naive, remote_cache, semantic"):
        policy_of("blind")


def test_what_no_column_offers_is_refused_before_anything_runs():
    """Of the 81 rows that the names of three placements permit, the 12 that run."""
    accepted = 0
    for places in itertools.product(("inline", "resident", "delta"), repeat=4):
        columns = dict(zip(TensorClass, places, strict=True))
        row = msgspec.structs.replace(POLICIES[1], **columns)
        if all(place in places_of(one) for one, place in columns.items()):
            check_policy(row)
            accepted += 1
        else:
            with pytest.raises(ConfigError, match=r"The mode 'naive' has .* They can be inline"):
                check_policy(row)
    assert accepted == 12
