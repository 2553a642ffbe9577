"""A table that says anything else than the runs is found, and nothing passes the gate then."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from consistent_runs import LABELS, MANIFEST, honest
from semgap.checks.catalogue import Check, Finding
from semgap.checks.gate import gate
from semgap.checks.published import published
from semgap.comparisons import compare
from semgap.errors import CheckError
from semgap.summary import MeasuredRun, repeat_rows, summarise
from semgap.table import Experiment, markdown, table_rows

HONEST = honest()


def table_of(evidence):
    """What the rules make of the runs: the table, the summary behind it, the comparisons."""
    runs = [MeasuredRun(each.record, each.traffic) for each in evidence.runs]
    repeats = repeat_rows(runs)
    summary = summarise(repeats)
    experiment = Experiment(
        manifest=MANIFEST,
        records=[each.record for each in evidence.runs],
        setup=table_rows(summary, LABELS, ("setup",)),
        claims=[],
        warnings=[],
    )
    table = markdown(table_rows(summary, LABELS, ("prefill", "decode")), experiment)
    return table, summary, compare(repeats)


TABLE, SUMMARY, COMPARISONS = table_of(HONEST)
# Prefill of naive took 0.5273 and 0.5313 s and moved 1,222 + 824 B.
NAIVE_PREFILL = "| Prefill | Semantic-Blind (Naive) "


def found_published(table=TABLE, summary=SUMMARY, comparisons=COMPARISONS, evidence=HONEST):
    return list(published(table, LABELS, summary, comparisons, evidence.runs))


def in_row(beginning, old, new):
    """The table with something replaced in the one row that begins so."""
    lines = [" ".join(line.split()) for line in TABLE.splitlines()]
    (index,) = [index for index, line in enumerate(lines) if line.startswith(beginning)]
    assert old in lines[index], lines[index]
    lines[index] = lines[index].replace(old, new)
    return "\n".join(lines)


@pytest.mark.parametrize("evidence", [HONEST, honest(gpu=True), honest(captured=False)])
def test_an_honest_table_is_confirmed(evidence):
    table, summary, comparisons = table_of(evidence)
    assert found_published(table, summary, comparisons, evidence) == []


def test_a_table_of_one_repeat_is_confirmed():
    evidence = replace(HONEST, runs=[run for run in HONEST.runs if run.repeat == 1])
    assert found_published(*table_of(evidence), evidence) == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("| 0.5293 ±", "| 0.5294 ±", "the latency reads '0.5294', it is 0.5293"),
        ("| 0.5293 ±", "| 5.293e-01 ±", None),
        ("| 0.5293 ±", "| 0.5 ±", "the latency reads '0.5', it is 0.5293"),
        ("| 0.5293 ±", "| nan ±", "the latency reads 'nan', it is 0.5293"),
        ("| 0.5293 ±", "| – ±", "the latency reads '–', it is 0.5293"),
        (" ± 0.0028 |", " |", "the deviation beside the mean reads '–', it is 0.0028"),
        (" ± 0.0028 |", " ± 0.0029 |", "the deviation beside the mean reads '0.0029', it is 0.002"),
        ("| 0.0028 |", "| 0.0027 |", "the deviation reads '0.0027', it is 0.0028"),
        ("| 0.0028 |", "| – |", "the deviation reads '–', it is 0.0028"),
        ("| 2.046e-06 |", "| 2.047e-06 |", "the network bytes reads '2.047e-06', it is 2.046e-06"),
        ("| 2.046e-06 |", "| 2046 |", "the network bytes reads '2046', it is 2.046e-06"),
        ("| 2.046e-06 |", "| 0 |", "the network bytes reads '0', it is 2.046e-06"),
        ("| 2.046e-06 |", "| inf |", "the network bytes reads 'inf', it is 2.046e-06"),
        ("| – |", "| 0.0 |", "the GPU utilisation reads '0.0', it is None"),
        ("| – |", "| nan |", "the GPU utilisation reads 'nan', it is None"),
        ("(Naive)", "(naive)", "the row reads '| Prefill | Semantic-Blind (naive) |"),
        ("Prefill", "Decode", "the row reads '| Decode | Semantic-Blind (Naive) |"),
        ("| – |", "|", "the row reads"),
    ],
)
def test_a_wrong_cell_is_found(old, new, what):
    found = found_published(in_row(NAIVE_PREFILL, old, new))
    if what is None:
        assert found == []
        return
    (finding,) = found
    assert finding.check is Check.PUBLISHED
    assert finding.where == "table.md, prefill of Semantic-Blind (Naive)"
    assert what in finding.what


def test_two_rows_that_changed_places_are_found():
    lines = TABLE.splitlines()
    lines[3], lines[4] = lines[4], lines[3]
    assert [found.where for found in found_published("\n".join(lines))] == [
        "table.md, prefill of Semantic-Blind (Naive)",
        "table.md, prefill of Semantic-Blind + Remote Cache",
    ]


def test_a_missing_row_is_found():
    lines = TABLE.splitlines()
    (finding,) = found_published("\n".join([*lines[:4], *lines[5:]]))
    assert finding == Finding(Check.PUBLISHED, "table.md", "7 rows instead of 8")


def summary_with(phase, mode, **values):
    return [
        msgspec.structs.replace(row, **values) if (row.phase, row.mode) == (phase, mode) else row
        for row in SUMMARY
    ]


def test_up_and_down_that_changed_places_are_found():
    summary = summary_with(
        "decode", "naive", network_up_mean_bytes=2_976.0, network_down_mean_bytes=5_370.0
    )
    where = "summary.csv, decode of naive"
    assert found_published(summary=summary) == [
        Finding(Check.PUBLISHED, where, "network_up_mean_bytes is 2976.0, not 5370.0"),
        Finding(Check.PUBLISHED, where, "network_down_mean_bytes is 5370.0, not 2976.0"),
    ]


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"latency_std_s": None}, "latency_std_s is None, not 0.0"),
        ({"network_mean_bytes": 8_347.0}, "network_mean_bytes is 8347.0, not 8346.0"),
        ({"gpu_kernel_mean_percent": 1.0}, "gpu_kernel_mean_percent is 1.0, not None"),
        ({"latency_ci_low_s": float("nan")}, "latency_ci_low_s is nan"),
        ({"worker_cpu_mean_percent": float("inf")}, "worker_cpu_mean_percent is inf"),
    ],
)
def test_a_wrong_figure_of_the_summary_is_found(values, what):
    (finding,) = found_published(summary=summary_with("decode", "naive", **values))
    assert finding.where == "summary.csv, decode of naive"
    assert what in finding.what


def test_a_missing_row_of_the_summary_is_found():
    summary = [row for row in SUMMARY if (row.phase, row.mode) != ("decode", "semantic")]
    assert found_published(summary=summary) == [
        Finding(Check.PUBLISHED, "summary.csv, decode of semantic", "there is no such row")
    ]


def comparisons_with(**values):
    return [
        msgspec.structs.replace(row, **values)
        if (row.phase, row.mode, row.base) == ("decode", "naive", "semantic")
        else row
        for row in COMPARISONS
    ]


@pytest.mark.parametrize(
    ("values", "what"),
    [
        # Means of 1.5832 and 1.5952 s, and of 1.5892 and 1.6012 s.
        ({"ratio": 1.25}, "the ratio is 1.25, not 0.99623871"),
        ({"welch_p": float("nan")}, "welch_p is nan"),
        ({"ratio_ci_high": float("inf")}, "ratio_ci_high is inf"),
    ],
)
def test_a_wrong_comparison_is_found(values, what):
    (finding,) = found_published(comparisons=comparisons_with(**values))
    assert finding.check is Check.PUBLISHED
    assert finding.where == "comparisons.csv, decode of naive to semantic"
    assert what in finding.what


def test_a_missing_comparison_is_found():
    found = found_published(comparisons=COMPARISONS[1:])
    first = COMPARISONS[0]
    where = f"comparisons.csv, {first.phase} of {first.mode} to {first.base}"
    assert found == [Finding(Check.PUBLISHED, where, "there is no such row")]


def test_the_gate_lets_an_experiment_pass_in_which_nothing_is_found():
    gate([])


def test_the_gate_names_the_first_finding_and_what_to_do():
    finding = Finding(Check.CLOCKS, "naive, repeat 1, decode", "2 s instead of 1 s")
    with pytest.raises(CheckError) as refused:
        gate([finding])
    assert refused.value.cause == (
        "No table is built: check clocks failed at naive, repeat 1, decode: 2 s instead of 1 s."
    )
    assert refused.value.remedy == (
        "Delete that run's file under runs/ to measure it again, while nothing sets the machine's "
        "clock."
    )


def test_the_gate_counts_the_other_findings():
    found = [
        Finding(Check.CONTENT, "naive, repeat 1, decode up", "1 B of tokens instead of 8 B"),
        Finding(Check.CLOCKS, "elsewhere", "something"),
        Finding(Check.CLOCKS, "elsewhere", "something else"),
    ]
    with pytest.raises(
        CheckError,
        match=r"^No table is built: check content failed at naive, repeat 1, decode up: 1 B of "
        r"tokens instead of 8 B\. 2 more findings are in checks\.md\. Delete",
    ):
        gate(found)
