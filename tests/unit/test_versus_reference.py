"""Comparison with recorded results: bytes decide, latencies inform, other workloads are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from records import run
from semgap.csv_rows import write_rows
from semgap.errors import SemgapError
from semgap.records import Host, Manifest, write_record
from semgap.reference_folder import (
    FILES,
    HARDWARE,
    read_reference,
    record_reference,
    recorded_folders,
)
from semgap.summary import SummaryRow
from semgap.versus_reference import Measured, bytes_agree, compare, workload_of
from semgap.versus_reference_report import versus_reference_report

ROOT = Path(__file__).parents[2]
MODES = ("local", "naive", "semantic")
BYTES = {"local": 0, "naive": 300_000_000, "semantic": 200_000}
LATENCY_S = {"local": 0.1, "naive": 1.5, "semantic": 0.12}
MANIFEST = Manifest(
    name="GPT-J test",
    origin="made from seed 0",
    pretrained=False,
    dtype="float32",
    parameters=77_000_000,
    weights_bytes=307_422_080,
    kv_cache_tensors=16,
    kv_cache_bytes_per_token=32_768,
    logits_bytes_per_position=201_600,
    vocabulary_size=50_400,
    max_positions=2048,
    fingerprint="f",
    model_config="{}",
    tensors=(),
    files=(),
)
FASTER = Host("other-host", "6.1", "another processor", 64, 512_000_000_000, "a GPU")


def summary_row(phase, mode):
    values = dict.fromkeys(SummaryRow.__struct_fields__, 0)
    return SummaryRow(
        **{
            **values,
            "phase": phase,
            "mode": mode,
            "n": 3,
            "latency_mean_s": LATENCY_S[mode],
            "network_source": "tcpdump",
            "network_mean_bytes": BYTES[mode],
        }
    )


RECORDS = [run(mode) for mode in MODES]
SUMMARY = [
    summary_row(phase, mode) for phase in ("setup", "warmup", "prefill", "decode") for mode in MODES
]


def measured(name="here", change=lambda row: row, **more):
    values = {
        "name": name,
        "summary": [change(row) for row in SUMMARY],
        "manifest": MANIFEST,
        "workload": workload_of(RECORDS),
        "host": RECORDS[0].host,
    }
    return Measured(**{**values, **more})


def more_bytes(mode, phase, added):
    def change(row):
        if (row.mode, row.phase) != (mode, phase):
            return row
        return msgspec.structs.replace(row, network_mean_bytes=row.network_mean_bytes + added)

    return change


def test_the_same_bytes_agree_on_any_machine():
    def slower(row):
        return msgspec.structs.replace(row, latency_mean_s=3 * row.latency_mean_s)

    comparison = compare(measured(change=slower), measured("fast", host=FASTER))
    assert comparison.obstacles == ()
    assert comparison.mismatches == []
    assert [(row.phase, row.mode) for row in comparison.rows] == [
        (phase, mode) for phase in ("prefill", "decode") for mode in MODES
    ]
    # Everything is three times slower here, and the ratio to local is the same.
    naive = comparison.rows[1]
    assert naive.here_of_local == pytest.approx(15)
    assert naive.recorded_of_local == pytest.approx(15)
    report = versus_reference_report([comparison])
    assert report.splitlines()[2] == (
        "OK: the network bytes are those recorded, in all 6 comparisons."
    )
    assert "another processor" in report
    assert "a GPU" in report
    assert "1.000" in report


@pytest.mark.parametrize(
    ("mode", "phase", "added"),
    [
        ("local", "decode", 3_000),
        ("naive", "prefill", 1_600_000),
        ("semantic", "decode", -4_000),
    ],
)
def test_other_bytes_fail_on_top_of_the_report(mode, phase, added):
    comparison = compare(measured(change=more_bytes(mode, phase, added)), measured("old"))
    assert [(row.mode, row.phase) for row in comparison.mismatches] == [(mode, phase)]
    report = versus_reference_report([compare(measured(), measured("fine")), comparison])
    assert report.splitlines()[2] == (
        f"FAIL: the network bytes are not those recorded in {phase} of {mode} (`old`)."
    )
    assert report.count("**FAIL**") == 1
    assert f"{added:+,d}" in report


def test_each_step_of_a_phase_may_differ_a_little():
    # 0.5 % of 200,000 bytes and twice 1,024: one step's allowance is not enough.
    comparison = compare(measured(change=more_bytes("semantic", "decode", 2_500)), measured("old"))
    assert comparison.mismatches == []
    comparison = compare(measured(change=more_bytes("semantic", "prefill", 2_500)), measured("old"))
    assert len(comparison.mismatches) == 1


@given(st.integers(0, 10**11), st.integers(1, 100), st.floats(-2, 2))
def test_the_tolerance_is_half_a_percent_and_1_kb_a_step(recorded, steps, of_accepted):
    accepted = 0.005 * recorded + 1000 * steps
    here = recorded + of_accepted * accepted
    if abs(of_accepted) < 0.999:
        assert bytes_agree(here, recorded, steps)
    elif abs(of_accepted) > 1.001:
        assert not bytes_agree(here, recorded, steps)


OTHER_WORKLOADS = {
    "fingerprint": {"manifest": msgspec.structs.replace(MANIFEST, fingerprint="g")},
    "weights": {"manifest": msgspec.structs.replace(MANIFEST, weights_bytes=1)},
    "KV cache": {"manifest": msgspec.structs.replace(MANIFEST, kv_cache_bytes_per_token=1)},
    **{
        said: {"workload": msgspec.structs.replace(workload_of(RECORDS), **{key: value})}
        for said, key, value in (
            ("prompt tokens here 8, recorded 9", "prompt_tokens", 9),
            ("decode steps here 2, recorded 7", "decode_steps", 7),
            ("logits to keep", "logits_to_keep", 0),
            ("transport here torch_rpc, recorded tcp", "transport", "tcp"),
        )
    },
    "origin of the network bytes": {
        "change": lambda row: msgspec.structs.replace(row, network_source="kernel")
    },
}


@pytest.mark.parametrize("said", OTHER_WORKLOADS)
def test_another_workload_is_refused_without_numbers(said):
    comparison = compare(measured(), measured("other", **OTHER_WORKLOADS[said]))
    assert len(comparison.obstacles) == 1
    report = versus_reference_report([comparison])
    assert "Not the same workload" in report
    assert said in report
    assert "Latency ÷ local" not in report
    assert "nothing was compared" in report.splitlines()[2]


def test_modes_that_only_one_has_are_named():
    fewer = [row for row in SUMMARY if row.mode != "naive"]
    comparison = compare(measured(summary=fewer), measured("old"))
    assert comparison.unpaired == ("decode of naive", "prefill of naive")
    assert "Measured in one of the two alone: decode of naive" in versus_reference_report(
        [comparison]
    )


def test_without_local_there_is_no_ratio():
    fewer = [row for row in SUMMARY if row.mode != "local"]
    comparison = compare(measured(), measured("old", summary=fewer))
    assert {row.recorded_of_local for row in comparison.rows} == {None}
    assert "–" in versus_reference_report([comparison])


def test_without_recorded_results_the_report_says_how_to_record_one():
    assert "make reference NAME=" in versus_reference_report([])


def finished(folder):
    """An experiment's folder, with a run of an older configuration left in it."""
    write_rows(folder / "summary.csv", SummaryRow, SUMMARY)
    write_record(folder / "model" / "manifest.json", MANIFEST)
    for mode in MODES:
        for repeat in (1, 2, 3):
            write_record(folder / "runs" / mode / f"rep{repeat}.json", run(mode, repeat))
    left = run("remote_cache", 1, transport="tcp", prompt_tokens=99)
    write_record(folder / "runs" / "remote_cache" / "rep1.json", left)
    return folder


def test_a_recorded_experiment_agrees_with_itself(tmp_path):
    folder = record_reference(finished(tmp_path / "test"), "mine", tmp_path / "reference")
    (tmp_path / "reference" / "something-else").mkdir()
    (folder / "notes.md").write_text("ignored")
    assert recorded_folders(tmp_path / "reference") == [folder]
    assert {path.name for path in folder.iterdir()} == {*FILES, "notes.md"}
    recorded = read_reference(folder)
    assert recorded.workload == workload_of(RECORDS)
    comparison = compare(measured(), recorded)
    assert (comparison.obstacles, comparison.mismatches, len(comparison.rows)) == ((), [], 6)


def test_what_is_recorded_does_not_name_the_machine(tmp_path):
    folder = record_reference(finished(tmp_path / "test"), "mine", tmp_path / "reference")
    assert read_reference(folder).host == msgspec.structs.replace(RECORDS[0].host, name="")
    assert '"host"' not in (folder / HARDWARE).read_text()


def test_recording_refuses_what_it_cannot_do_and_leaves_nothing(tmp_path):
    root = tmp_path / "reference"
    with pytest.raises(SemgapError, match="no finished experiment"):
        record_reference(tmp_path / "missing", "mine", root)
    experiment = finished(tmp_path / "test")
    for name in ("../mine", "", "Mine", "a/b"):
        with pytest.raises(SemgapError, match="no name"):
            record_reference(experiment, name, root)
    (experiment / "runs" / "naive" / "rep2.json").unlink()
    with pytest.raises(SemgapError, match=r"rep2\.json' does not exist"):
        record_reference(experiment, "mine", root)
    assert not root.exists()


def test_recording_does_not_replace_what_is_recorded(tmp_path):
    experiment = finished(tmp_path / "test")
    record_reference(experiment, "mine", tmp_path / "reference")
    with pytest.raises(SemgapError, match="exists already"):
        record_reference(experiment, "mine", tmp_path / "reference")


def test_the_commands_record_and_compare(tmp_path):
    experiment = finished(tmp_path / "test")
    report = tmp_path / "versus-reference.md"

    def command(script, *flags):
        subprocess.run([sys.executable, ROOT / "scripts" / script, *flags], check=True)
        return report.read_text() if report.exists() else ""

    references = ("--references", tmp_path / "reference")
    compared = (
        *("--summary", experiment / "summary.csv"),
        *("--manifest", experiment / "model" / "manifest.json"),
        *("--runs", *(experiment / "runs" / mode / "rep1.json" for mode in MODES)),
        *references,
        *("--markdown", report),
    )
    assert "No recorded run" in command("compare_with_reference.py", *compared)
    command("record_reference.py", "--experiment-folder", experiment, "--name", "mine", *references)
    text = command("compare_with_reference.py", *compared)
    assert "OK: the network bytes are those recorded, in all 6 comparisons." in text
    assert text == command("compare_with_reference.py", *compared)
