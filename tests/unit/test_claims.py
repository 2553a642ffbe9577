"""Claims: what recorded data say of them, and that doctored data are found out."""

import dataclasses
import re

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from recorded import numbers_of
from sample_table import rendered
from semgap.analysis.claims import load_claims
from semgap.analysis.claims.evaluation import Measured, OutcomeRow, Verdict, judge, verdict, worst
from semgap.analysis.gates.verification import check_bytes, check_claims
from semgap.analysis.numbers.versus import (
    Agreement,
    VersusRow,
    nearest_recorded,
    read_recorded,
    recorded_in,
    versus_nearest,
    versus_recorded,
)
from semgap.analysis.reports.claims import claims_markdown, count_text, verdicts
from semgap.analysis.reports.versus import versus_markdown
from semgap.errors import ClaimError, ConfigError
from semgap.maintain.archive import REFERENCE
from semgap.plumbing.files import read_rows, write_rows
from semgap.policy import TensorClass
from small_models import PROJECT

CLAIMS_FILE = PROJECT / "config" / "claims.yaml"
CLAIMS = load_claims(CLAIMS_FILE)
WITH_REPEATS = ("mini-torch_rpc", "mini-tcp", "gptj-6b-h100-tcp", "gptj-6b-h200-tcp-graph")


def evidence_of(name):
    numbers = numbers_of(name)
    return Measured(numbers.repeats, numbers.records, numbers.manifest)


def failed(evidence):
    return {name for name, found in verdicts(judge(CLAIMS, evidence)).items() if found == "FAIL"}


@pytest.mark.parametrize(
    "name", [str(folder.relative_to(REFERENCE)) for folder in recorded_in(REFERENCE)]
)
def test_recorded_results_contradict_no_claim(name, tmp_path):
    outcomes = judge(CLAIMS, evidence_of(name))
    check_claims(outcomes, tmp_path / "claims.md")
    others = [other for other in recorded_in(REFERENCE) if other != REFERENCE / name]
    beside = versus_nearest(read_recorded(REFERENCE / name), others)
    check_bytes(beside, tmp_path / "versus-reference.md")
    assert {row.claim for row in outcomes} == {claim.id for claim in CLAIMS}


@pytest.mark.parametrize("name", ["gptj-6b-h100-tcp", "gptj-6b-h200-tcp-graph"])
def test_what_was_recorded_on_a_gpu_supports_every_claim(name):
    assert set(verdicts(judge(CLAIMS, evidence_of(name))).values()) == {"PASS"}


def test_what_crosses_does_not_depend_on_the_engine():
    eager, graph = (
        {
            (record.mode, record.settings.repeat, phase.name): [
                (step.up_bytes, step.down_bytes, step.up_tensors, step.down_tensors)
                for step in phase.steps
            ]
            for record in evidence_of(name).records
            for phase in record.phases
        }
        for name in ("gptj-6b-h100-tcp", "gptj-6b-h200-tcp-graph")
    )
    assert {name: eager[name] for name in graph} == graph
    assert len(graph) == 3 * (3 * 5 + 3)


def test_the_order_of_bytes_and_latencies_is_claimed_with_numbers():
    pairs = {
        (getattr(claim, "quantity", "network_bytes"), claim.mode, claim.over)
        for claim in CLAIMS
        if getattr(claim, "over", None)
    }
    for quantity in ("network_bytes", "latency_s"):
        for above, below in (("naive", "remote_cache"), ("remote_cache", "semantic")):
            assert (quantity, above, below) in pairs
    assert ("latency_s", "semantic", "local") in pairs


def renamed(evidence, names):
    """The evidence with modes exchanged."""
    return Measured(
        rows=[
            msgspec.structs.replace(row, mode=names.get(row.mode, row.mode))
            for row in evidence.rows
        ],
        records=[
            msgspec.structs.replace(record, mode=names.get(record.mode, record.mode))
            for record in evidence.records
        ],
        manifest=evidence.manifest,
    )


def scaled(evidence, mode, quantity, factor):
    rows = [
        msgspec.structs.replace(row, value=row.value * factor)
        if (row.mode, row.quantity) == (mode, quantity)
        else row
        for row in evidence.rows
    ]
    return Measured(rows, evidence.records, evidence.manifest)


def without_kv_cache(evidence, mode):
    """The mode as if its KV cache had not crossed."""

    def stripped(step):
        up, down = (
            {name: 0 if name == TensorClass.KV_CACHE else size for name, size in sizes.items()}
            for sizes in (step.up_bytes, step.down_bytes)
        )
        return msgspec.structs.replace(step, up_bytes=up, down_bytes=down)

    def dropped(record):
        if record.mode != mode:
            return record
        phases = tuple(
            msgspec.structs.replace(phase, steps=tuple(map(stripped, phase.steps)))
            for phase in record.phases
        )
        return msgspec.structs.replace(record, phases=phases)

    semantic = {
        (row.phase, row.repeat): row.value
        for row in evidence.rows
        if (row.mode, row.quantity) == ("semantic", "network_bytes")
    }
    rows = [
        msgspec.structs.replace(row, value=semantic[row.phase, row.repeat])
        if (row.mode, row.quantity) == (mode, "network_bytes")
        else row
        for row in evidence.rows
    ]
    return Measured(rows, [dropped(record) for record in evidence.records], evidence.manifest)


@pytest.mark.parametrize("name", WITH_REPEATS)
def test_two_exchanged_modes_are_found_out(name):
    evidence = evidence_of(name)
    exchanged = {"naive": "remote_cache", "remote_cache": "naive"}
    assert {"C2", "C6"} <= failed(renamed(evidence, exchanged))
    exchanged = {"semantic": "remote_cache", "remote_cache": "semantic"}
    assert {"C3", "C4", "C5"} <= failed(renamed(evidence, exchanged))


@pytest.mark.parametrize("name", WITH_REPEATS)
def test_a_slowed_mode_is_found_out(name):
    evidence = evidence_of(name)
    found = failed(scaled(evidence, "semantic", "latency_s", 10))
    assert {"C7", "C9"} <= found <= {"C7", "C8", "C9", "C10"}
    assert failed(scaled(evidence, "remote_cache", "latency_s", 1000)) == {"C6"}


@pytest.mark.parametrize("name", WITH_REPEATS)
def test_a_dropped_kv_cache_is_found_out(name):
    assert failed(without_kv_cache(evidence_of(name), "remote_cache")) == {"C3", "C4"}


def test_another_token_and_bytes_of_local_are_found_out():
    evidence = evidence_of("mini-tcp")
    first, *others = evidence.records
    wrong = msgspec.structs.replace(others[-1], token_ids=(1, *first.token_ids[1:]))
    records = [first, *others[:-1], wrong]
    assert failed(Measured(evidence.rows, records, evidence.manifest)) == {"C13"}
    rows = [
        msgspec.structs.replace(row, value=1.0)
        if (row.mode, row.quantity) == ("local", "network_bytes")
        else row
        for row in evidence.rows
    ]
    assert failed(Measured(rows, evidence.records, evidence.manifest)) == {"C1"}


def test_the_message_names_what_was_claimed_and_what_was_seen(tmp_path):
    outcomes = judge(CLAIMS, scaled(evidence_of("mini-tcp"), "semantic", "latency_s", 10))
    with pytest.raises(ClaimError) as caught:
        check_claims(outcomes, tmp_path / "claims.md")
    said = str(caught.value)
    assert re.search(r"C9 \(.*at most 3 times as slow\), decode: latency_s of semantic ÷", said)
    assert "accepted is at least 0.8, at most 3" in said
    assert str(tmp_path / "claims.md") in said


def test_a_mode_that_was_not_measured_supports_nothing():
    evidence = evidence_of("mini-tcp")
    rows = [row for row in evidence.rows if row.mode in ("local", "semantic")]
    records = [one for one in evidence.records if one.mode in ("local", "semantic")]
    found = verdicts(judge(CLAIMS, Measured(rows, records, evidence.manifest)))
    assert found["C1"] == found["C5"] == found["C13"] == Verdict.PASS
    assert found["C2"] == found["C4"] == found["C6"] == Verdict.NOT_SUPPORTED


def test_a_claim_about_large_models_says_nothing_of_small_ones():
    (row,) = (row for row in judge(CLAIMS, evidence_of("mini-tcp")) if row.claim == "C10")
    assert (row.verdict, row.phase, row.seen) == (Verdict.NOT_APPLICABLE, None, None)
    assert row.why == "it speaks of larger models"
    slow = scaled(evidence_of("mini-tcp"), "semantic", "latency_s", 10)
    assert "C10" not in failed(slow)
    assert "C10" in failed(scaled(evidence_of("gptj-6b-h100-tcp"), "semantic", "latency_s", 10))


def test_a_claim_about_gpus_says_nothing_of_processors():
    found = verdicts(judge(CLAIMS, evidence_of("mini-tcp")))
    assert found["C11"] == found["C12"] == Verdict.NOT_APPLICABLE
    assert count_text(judge(CLAIMS, evidence_of("mini-tcp"))).endswith(", 3 NOT APPLICABLE")


def test_a_bound_of_bytes_follows_from_the_models_shape():
    """The two records are of models whose ratios differ by more than ten times."""
    bounds = {
        name: {
            (row.claim, row.phase): row.at_least / row.seen
            for row in judge(CLAIMS, evidence_of(name))
            if row.claim in ("C2", "C3")
        }
        for name in ("mini-tcp", "gptj-6b-h100-tcp")
    }
    for of_record in bounds.values():
        assert len(of_record) == 4
        assert all(0.88 < share < 0.92 for share in of_record.values())
    fewer = scaled(evidence_of("mini-tcp"), "naive", "network_bytes", 0.85)
    assert "C2" in failed(fewer)


def test_one_repeat_supports_bytes_and_no_latency():
    evidence = evidence_of("mini-tcp")
    rows = [row for row in evidence.rows if row.repeat == 1]
    records = [one for one in evidence.records if one.repeat == 1]
    found = verdicts(judge(CLAIMS, Measured(rows, records, evidence.manifest)))
    assert found["C2"] == found["C4"] == Verdict.PASS
    assert found["C6"] == found["C9"] == Verdict.NOT_SUPPORTED


bound = st.none() | st.floats(-10, 10)


@given(st.floats(-10, 10), st.floats(0, 5), bound, bound)
def test_a_verdict_follows_from_where_the_interval_lies(low, width, at_least, at_most):
    high = low + width
    found = verdict((low, high), at_least, at_most)

    def accepted(value):
        return (at_least is None or value >= at_least) and (at_most is None or value <= at_most)

    if found is Verdict.PASS:
        assert accepted(low) and accepted(high)
    if found is Verdict.FAIL:
        assert not accepted(low) and not accepted(high)
    if found is Verdict.NOT_SUPPORTED and (at_least is None or at_most is None):
        assert accepted(low) != accepted(high)


def test_a_claim_is_as_good_as_the_worst_of_its_numbers():
    assert worst([]) is Verdict.NOT_SUPPORTED
    assert worst([Verdict.PASS, Verdict.NOT_SUPPORTED]) is Verdict.NOT_SUPPORTED
    assert worst([Verdict.PASS, Verdict.NOT_SUPPORTED, Verdict.FAIL]) is Verdict.FAIL


def test_outcomes_come_back_from_their_file_as_they_were(tmp_path):
    outcomes = judge(CLAIMS, evidence_of("mini-tcp"))
    write_rows(tmp_path / "claims.csv", OutcomeRow, outcomes)
    again = read_rows(tmp_path / "claims.csv", OutcomeRow)
    assert [row.verdict for row in again] == [row.verdict for row in outcomes]
    write_rows(tmp_path / "again.csv", OutcomeRow, again)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "claims.csv").read_bytes()
    text = claims_markdown(dataclasses.replace(rendered(), claims=outcomes))
    for claim in CLAIMS:
        assert claim.sentence in text
    counted = [int(number) for number in re.findall(r"\d+", count_text(outcomes))]
    assert sum(counted) == len(CLAIMS)


def claims_file(folder, change):
    read = yaml.safe_load(CLAIMS_FILE.read_bytes())
    change(read["claims"])
    (folder / "claims.yaml").write_text(yaml.safe_dump(read))
    return folder / "claims.yaml"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda claims: claims[0].update(kind="odd"), "odd"),
        (lambda claims: claims[0].update(mode="odd"), "no mode 'odd'"),
        (lambda claims: claims[0].pop("at_most"), "C1 has neither at_least nor at_most"),
        (lambda claims: claims[1].update(id="C1"), "two claims of one id"),
        (lambda claims: claims[1].update(at_leats=1), "at_leats"),
        (lambda claims: claims[0].update(phases=["odd"]), "odd"),
    ],
)
def test_a_wrong_claim_is_refused(change, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        load_claims(claims_file(tmp_path, change))


def test_what_is_no_yaml_is_refused(tmp_path):
    (tmp_path / "claims.yaml").write_text("claims: [")
    with pytest.raises(ConfigError, match="is no usable YAML"):
        load_claims(tmp_path / "claims.yaml")


def test_the_nearest_record_has_the_same_workload_and_if_possible_transport():
    for name in (
        *("mini-tcp", "mini-tcp-1gbit", "mini-torch_rpc"),
        *("gptj-6b-h100-tcp", "gptj-6b-h200-tcp-graph", "gptj-6b-h100-torch_rpc"),
        *("gptj-6b-h100-decode-eager", "gptj-6b-h200-decode-graph"),
    ):
        here = read_recorded(REFERENCE / name)
        found = nearest_recorded(recorded_in(REFERENCE), here.expectation, here.manifest)
        assert found == REFERENCE / name
    mini = read_recorded(REFERENCE / "mini-tcp")
    folders = [REFERENCE / "mini-torch_rpc", REFERENCE / "gptj-6b-h100-tcp"]
    assert nearest_recorded(folders, mini.expectation, mini.manifest) == folders[0]
    assert nearest_recorded(folders[1:], mini.expectation, mini.manifest) is None


def test_where_one_has_no_capture_the_content_is_compared(tmp_path):
    """As where a reviewer may not capture: the transport counts, and counts no framing."""
    recorded = read_recorded(REFERENCE / "mini-torch_rpc")
    content = {
        (row.phase, row.mode, row.quantity): row.mean
        for row in recorded.summary
        if row.quantity.startswith("tensor_")
    }

    def counted(row):
        if row.quantity != "network_bytes":
            return row
        tensors = (content[row.phase, row.mode, f"tensor_{way}_bytes"] for way in ("up", "down"))
        return msgspec.structs.replace(row, mean=sum(tensors), source="the transport")

    here = dataclasses.replace(recorded, summary=[counted(row) for row in recorded.summary])
    rows = versus_recorded(here, recorded)
    check_bytes(rows, tmp_path / "versus.md")
    assert {row.agreement for row in rows} == {Agreement.EQUAL, None}
    assert "is compared, without framing" in versus_markdown(rows, here.expectation.labels)
    other = [
        msgspec.structs.replace(row, mean=row.mean + 1)
        if (row.mode, row.phase, row.quantity) == ("naive", "decode", "tensor_up_bytes")
        else row
        for row in here.summary
    ]
    rows = versus_recorded(dataclasses.replace(here, summary=other), recorded)
    with pytest.raises(ClaimError, match="decode of naive moved"):
        check_bytes(rows, tmp_path / "versus.md")


def test_the_same_bytes_on_any_machine_and_other_bytes_are_told_apart(tmp_path):
    here, recorded = (read_recorded(REFERENCE / f"mini-{name}") for name in ("tcp", "torch_rpc"))
    rows = versus_recorded(here, recorded)
    check_bytes(rows, tmp_path / "versus.md")
    assert {row.agreement for row in rows} == {
        Agreement.EQUAL,  # local
        Agreement.WITHIN_TOLERANCE,
        None,  # ratios of latencies
    }
    write_rows(tmp_path / "versus.csv", VersusRow, rows)
    found = read_rows(tmp_path / "versus.csv", VersusRow)
    assert [row.agreement for row in found] == [row.agreement for row in rows]
    assert [row.here for row in found] == pytest.approx([row.here for row in rows], rel=1e-11)
    labels = here.expectation.labels
    text = versus_markdown(rows, labels)
    assert text.count("WITHIN TOLERANCE") == 8
    assert "nothing" in versus_markdown([], labels)
    summary = [
        msgspec.structs.replace(row, mean=row.mean * 1.02)
        if (row.mode, row.phase, row.quantity) == ("semantic", "decode", "network_bytes")
        else row
        for row in here.summary
    ]
    doctored = dataclasses.replace(here, summary=summary)
    with pytest.raises(ClaimError, match=r"decode of semantic moved 1,030,\d{3} bytes, recorded"):
        check_bytes(versus_recorded(doctored, here), tmp_path / "versus.md")
