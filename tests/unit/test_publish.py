"""Every gate stands in the one way to what is published: evidence with an error does not pass."""

import dataclasses

import pytest
from msgspec.structs import replace

from recorded import numbers_of, unpacked
from semgap.analysis import publish
from semgap.analysis.catalogue import FIGURES
from semgap.analysis.figures import save
from semgap.errors import MeasurementError
from semgap.inference.steps import LinkSeen
from semgap.maintain.reference_results import evidence_in
from semgap.measurement.yardstick import Yardstick
from semgap.policy import TensorClass
from semgap.server.endpoint import LinkShape


@pytest.fixture(scope="module")
def evidence():
    return evidence_in(unpacked("mini-tcp"))


def with_run(evidence, mode, **changed):
    """The evidence with another record, or another traffic, of a mode's first repeat."""
    runs = list(evidence.runs)
    at = next(at for at, run in enumerate(runs) if run.record.mode == mode)
    if "traffic" in changed:
        runs[at] = dataclasses.replace(runs[at], traffic=changed["traffic"])
    else:
        runs[at] = dataclasses.replace(runs[at], record=replace(runs[at].record, **changed))
    return dataclasses.replace(evidence, runs=runs)


def run_of(evidence, mode):
    return next(run for run in evidence.runs if run.record.mode == mode)


def with_decode(evidence, mode, **changed):
    *before, decode = run_of(evidence, mode).record.phases
    return with_run(evidence, mode, phases=(*before, replace(decode, **changed)))


def more_content(evidence, mode, more_bytes):
    """A mode whose first decode step says that it moved more of the KV cache."""
    first, *others = run_of(evidence, mode).record.phases[-1].steps
    grown = first.up_bytes.get(TensorClass.KV_CACHE, 0) + more_bytes
    step = replace(first, up_bytes={**first.up_bytes, TensorClass.KV_CACHE: grown})
    return with_decode(evidence, mode, steps=(step, *others))


def more_captured(evidence, mode, more_bytes):
    traffic = [
        replace(row, payload_bytes=row.payload_bytes + more_bytes)
        if (row.phase, row.direction) == ("decode", "up")
        else row
        for row in run_of(evidence, mode).traffic
    ]
    return with_run(evidence, mode, traffic=traffic)


def other_settings(evidence):
    record = run_of(evidence, "naive").record
    workload = replace(record.settings.workload, back_to_back_s=99)
    return with_run(evidence, "naive", settings=replace(record.settings, workload=workload))


def during_local(evidence):
    """A run that began a second after local's first, on the same clocks."""
    record = run_of(evidence, "semantic").record
    earlier_ns = record.started_unix_ns - run_of(evidence, "local").record.started_unix_ns - 10**9
    phases = tuple(
        replace(
            phase,
            **{
                name: getattr(phase, name) - earlier_ns
                for name in ("begin_ns", "end_ns", "begin_unix_ns", "end_unix_ns")
            },
        )
        for phase in record.phases
    )
    return with_run(
        evidence,
        "semantic",
        phases=phases,
        started_unix_ns=record.started_unix_ns - earlier_ns,
        ended_unix_ns=record.ended_unix_ns and record.ended_unix_ns - earlier_ns,
    )


def each(evidence, mode, change):
    """Change all runs of a mode."""
    runs = [change(run) if run.record.mode == mode else run for run in evidence.runs]
    return dataclasses.replace(evidence, runs=runs)


def over_link(evidence, shape, seen_gbit):
    """All runs of naive as over a link that was asked for, and carried so much."""
    goodput = seen_gbit * 1e9 / 8
    seen = LinkSeen(1e-3, 1e-3, goodput, goodput)
    expected = evidence.expectation
    asked = [replace(run, link=shape) if run.mode == "naive" else run for run in expected.runs]
    over = each(
        evidence,
        "naive",
        lambda run: dataclasses.replace(
            run,
            record=replace(run.record, link=shape, link_seen=seen, yardstick=Yardstick(10e9, 5e9)),
        ),
    )
    return dataclasses.replace(over, expectation=replace(expected, runs=tuple(asked)))


def waiting_before_decode(run):
    """20 ms between the begin of a phase and its first step, in all that says when it began."""
    *before, decode = run.record.phases
    begun = {name: getattr(decode, name) - 20_000_000 for name in ("begin_ns", "begin_unix_ns")}
    waiting = replace(decode, latency_s=decode.latency_s + 0.02, **begun)
    return dataclasses.replace(run, record=replace(run.record, phases=(*before, waiting)))


def late_requests(run):
    """A capture that shows of each request only its last packet."""
    turns = [
        replace(turn, begin_unix_ns=turn.end_unix_ns) if turn.direction == "up" else turn
        for turn in run.turns
    ]
    return dataclasses.replace(run, turns=turns)


def early_packets(run):
    turns = [
        replace(
            turn,
            begin_unix_ns=turn.begin_unix_ns - 5_000_000,
            end_unix_ns=turn.end_unix_ns - 5_000_000,
        )
        for turn in run.turns
    ]
    return dataclasses.replace(run, turns=turns)


def slow_sockets(run):
    yardstick = Yardstick(copy_bytes_per_s=1e9, socket_bytes_per_s=1e6)
    return dataclasses.replace(run, record=replace(run.record, yardstick=yardstick))


# What only one check refuses: the error, what is said, and the check.
ONE_CHECK = {
    "another configuration": (other_settings, "workload.back_to_back_s", "check_belonging"),
    "a worker without processor time": (
        lambda one: with_decode(one, "naive", worker_cpu_s=0.0),
        "contradicts itself",
        "check_consistency",
    ),
    "a wait beside the steps": (
        lambda one: each(one, "local", waiting_before_decode),
        "ms before the first step",
        "check_beside",
    ),
    "other versions": (
        lambda one: with_run(
            one, "naive", versions=replace(run_of(one, "naive").record.versions, torch="other")
        ),
        "another versions",
        "check_same_setup",
    ),
    "more content": (lambda one: more_content(one, "semantic", 1), "of kv_cache", "check_content"),
    "more on the wire": (
        lambda one: more_captured(one, "naive", 1_000_000),
        "the odd one out is the capture",
        "check_counts",
    ),
    "packets before their step": (
        lambda one: each(one, "semantic", early_packets),
        "tell two stories",
        "check_exchanges",
    ),
    "a wait in each step of one mode": (
        lambda one: each(one, "naive", late_requests),
        "Three of four steps of naive's prefill took",
        "check_clocks",
    ),
    "bytes faster than sockets": (
        lambda one: each(one, "naive", slow_sockets),
        "plain sockets took",
        "check_goodput",
    ),
    "a link without its delay": (
        lambda one: over_link(one, LinkShape(round_trip_ms=10), seen_gbit=2),
        "over a link whose round trip takes 10 ms, one took 1 ms",
        "check_link",
    ),
    "a link that carries more than its rate": (
        lambda one: over_link(one, LinkShape(rate_gbit=1), seen_gbit=2),
        "the link of 1 Gbit/s carried 2 Gbit/s",
        "check_link",
    ),
}

ERRORS = {
    "a rate near the machine's own": (
        lambda one: over_link(one, LinkShape(rate_gbit=99), seen_gbit=9),
        "would show the machine, not the link",
    ),
    "a link that nobody asked for": (
        lambda one: with_run(one, "naive", link=LinkShape(rate_gbit=1)),
        "was measured with link",
    ),
    "a copy": (
        lambda one: with_run(one, "naive", session_id=run_of(one, "local").record.session_id),
        "are of one session",
    ),
    "an overlap": (during_local, "two measurements at once"),
    "another machine": (
        lambda one: with_run(
            one, "naive", machine=replace(run_of(one, "naive").record.machine, cores=77)
        ),
        "another machine",
    ),
    "more content of naive": (lambda one: more_content(one, "naive", 1_000_000), "of kv_cache"),
    "bytes of local": (lambda one: more_captured(one, "local", 1), "1 bytes went up"),
    "more content of semantic": (lambda one: more_content(one, "semantic", 10_000), "of kv_cache"),
    "more on the wire of naive": (
        lambda one: more_captured(one, "naive", 1_000_000),
        "the odd one out is the capture",
    ),
    "more on the wire of semantic": (
        lambda one: more_captured(one, "semantic", 10_000),
        "the odd one out is the capture",
    ),
}


def test_what_was_recorded_passes(evidence):
    assert publish.numbers(evidence).table
    assert publish.numbers(over_link(evidence, LinkShape(rate_gbit=1), seen_gbit=0.96)).table


@pytest.mark.parametrize("planted", ERRORS)
def test_evidence_with_an_error_is_not_published(evidence, planted):
    plant, said = ERRORS[planted]
    with pytest.raises(MeasurementError, match=said):
        publish.numbers(plant(evidence))


@pytest.mark.parametrize("planted", ONE_CHECK)
def test_no_check_can_be_unplugged_unnoticed(evidence, planted, monkeypatch):
    """Each error is refused by its check, and published where that is not called."""
    plant, said, check = ONE_CHECK[planted]
    with pytest.raises(MeasurementError, match=said):
        publish.numbers(plant(evidence))
    monkeypatch.setattr(publish, check, lambda *_arguments: None)
    assert publish.numbers(plant(evidence)).table


def test_each_check_of_the_way_is_among_those():
    of_gates = {name for name in vars(publish) if name.startswith("check_")}
    assert {check for _, _, check in ONE_CHECK.values()} == of_gates


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("folder", ["mini-tcp", "gptj-6b-h200-tcp-graph"])
def test_each_figure_is_drawn_in_a_columns_width_with_text_as_text(name, folder, tmp_path):
    save(publish.figure(name, numbers_of(folder)), tmp_path / "figure.svg")
    drawn = (tmp_path / "figure.svg").read_text()
    assert 'width="252pt"' in drawn
    assert "Framework-Level (\\sys)" in drawn or name == "claims"
    assert FIGURES[name].caption.endswith(".")


def test_a_mode_that_moves_nothing_is_shown_at_zero(tmp_path):
    save(publish.figure("decode", numbers_of("mini-tcp")), tmp_path / "figure.svg")
    assert ">0 GB</text>" in (tmp_path / "figure.svg").read_text()
