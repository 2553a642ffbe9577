"""From runs to the table: statistics, digits, notes."""

import csv
import dataclasses
import html
import io
import re
import statistics

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sample_table import LABELS, MANIFEST, measured, numbers_of, rendered
from semgap.analysis.numbers.numbers import AnswerRow
from semgap.analysis.numbers.summary import SummaryRow, repeat_rows, summarise
from semgap.analysis.reports.columns import significant, with_deviation
from semgap.analysis.reports.table import full_csv, latex, markdown
from semgap.errors import SemgapError
from semgap.measurement.run_record import Rehearsal
from semgap.measurement.tcpdump import CaptureStatus
from semgap.model.manifest import GgufFile
from semgap.plumbing.files import csv_text, read_rows, write_rows
from semgap.policy import Label


def summarised(runs, quantity, phase="decode"):
    """The summary row of a quantity."""
    (row,) = (
        row
        for row in summarise(repeat_rows(runs))
        if (row.phase, row.quantity) == (phase, quantity)
    )
    return row


def test_eight_rows_in_the_order_of_the_plan():
    lines = markdown(rendered()).splitlines()
    header = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert header == [
        "Phase",
        "Mode",
        "Latency (s)",
        "Network (GB)",
        "GPU Util (%)",
        "Latency Std Dev (s)",
    ]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:10]]
    assert [row[0] for row in rows] == ["Prefill"] * 4 + ["Decode"] * 4
    assert [row[1] for row in rows] == [label.text for label in LABELS.values()] * 2
    assert rows[0][2:] == ["0.200 ± 0.100", "2.000e-06", "–", "0.100"]


def test_the_notes_say_what_a_reader_must_know():
    notes = markdown(rendered()).split("\n\n", 1)[1]
    for said in (
        "weights made from seed 0; this is not the pretrained model",
        "8-token prompt, 2 decode steps",
        "n = 3",
        "torch_rpc; TCP connections on interface lo",
        "captured by tcpdump without drops",
        "Setup (weights shipped once",
        "– because a CPU computed",
        "single node",
        "Measured at commit 0123456789ab.",
    ):
        assert said in notes, said


def test_a_prompt_and_its_continuation_are_shown_with_what_the_weights_are():
    packed = GgufFile("model.Q4_1.gguf", "a1" * 32, {"Q4_1": 210, "F32": 61})
    origin = {"origin": "from the package a-model 1.0", "pretrained": True}
    numbers = dataclasses.replace(
        rendered(),
        manifest=msgspec.structs.replace(MANIFEST, dequantised_from=packed, **origin),
        answer=[AnswerRow("A *prompt*\nof two lines", " and <what> follows.")],
    )
    notes = markdown(numbers)
    assert (
        f"weights from the package a-model 1.0, file model.Q4\\_1.gguf (SHA-256 {'a1' * 32}), "
        "converted to float32 from Q4_1 (210 tensors), F32 (61 tensors)"
    ) in notes
    assert "not the pretrained model" not in notes
    assert "“A \\*prompt\\* of two lines” — “and" in notes
    assert "<what>" not in notes


def test_repeats_that_differ_by_mode_are_told():
    runs = [measured(mode, n, 0.1 * n) for mode in LABELS for n in (1, 2, 3)]
    runs = [one for one in runs if one[0].mode != "naive" or one[0].repeat < 3]
    numbers = numbers_of(runs)
    notes = markdown(numbers)
    assert "n = 3 repeats per mode (naive 2), interleaved" in notes
    ns = {row["mode"]: row["n"] for row in csv.DictReader(io.StringIO(full_csv(numbers)))}
    assert ns == {"local": "3", "naive": "2", "remote_cache": "3", "semantic": "3"}


def test_the_notes_say_that_rehearsals_ended_early():
    cut = (Rehearsal({"prefill": 3.0, "decode": 3.0}, decode_steps=1),)
    others = [measured(mode, 1, 1.0) for mode in LABELS if mode != "naive"]
    text = markdown(numbers_of([measured("naive", 1, 3.0, rehearsals=cut), *others]))
    assert "not reached in 0 of 4 runs. Those of naive ended after 1 of 2 decode steps." in text


def test_a_client_that_stays_awake_is_told():
    assert "one machine; a client that waits for a reply stays awake for 10 ms." in markdown(
        rendered(client_poll_s=0.01)
    )
    assert "awake" not in markdown(rendered())


def test_a_table_without_captures_says_so():
    status = CaptureStatus(False, "tcpdump is not installed.", "lo")
    notes = markdown(rendered(capture=status))
    assert "NOT captured by tcpdump (tcpdump is not installed.)" in notes
    assert "0 where client and worker are one process" in notes


@given(st.lists(st.floats(1e-4, 1e4), min_size=2, max_size=10))
def test_mean_and_sample_deviation(latencies_s):
    runs = [measured("local", index + 1, value) for index, value in enumerate(latencies_s)]
    row = summarised(runs, "latency_s")
    assert row.n == len(latencies_s)
    assert row.mean == pytest.approx(statistics.fmean(latencies_s))
    # Of values that are all equal, either may give what rounding leaves.
    rounding_s = 1e-12 * max(latencies_s)
    assert row.std == pytest.approx(statistics.stdev(latencies_s), rel=1e-6, abs=rounding_s)


def test_token_latencies_are_those_of_the_decode_steps():
    runs = [measured("local", 1, 0.5)]
    for quantity, value in (
        ("latency_per_step_s", 0.5),
        ("step_latency_p50_s", 0.5),
        ("step_latency_p99_s", 0.5),
        ("tokens_per_s", 2.0),
    ):
        assert summarised(runs, quantity).mean == pytest.approx(value), quantity
    quantities = {row.quantity for row in repeat_rows(runs) if row.phase == "prefill"}
    assert "tokens_per_s" not in quantities
    assert "tokens/s)" in markdown(rendered())


def test_one_repeat_has_no_deviation():
    assert summarised([measured("local", 1, 0.5)], "latency_s").std is None
    assert with_deviation(0.5, None) == ("0.5000", "–")


def test_runs_are_numbered_in_the_order_they_ran():
    late, early = measured("local", 2, 0.1), measured("naive", 1, 0.1)
    order = {(row.mode, row.run_order) for row in repeat_rows([late, early])}
    assert order == {("naive", 1), ("local", 2)}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (75.3, "75.30"),
        (12.10219, "12.10"),
        (0.3118, "0.3118"),
        (1.0083e-3, "0.001008"),
        (2.04e-7, "2.040e-07"),
        (1234.4, "1234"),
    ],
)
def test_four_significant_digits(value, text):
    assert significant(value) == text


@pytest.mark.parametrize(
    ("mean", "deviation", "texts"),
    [
        (0.12345, 0.0012, ("0.1235", "0.0012")),
        (7.4321, 0.25, ("7.43", "0.25")),
        (120.4, 14.0, ("120", "14")),
        (0.0204, 0.0, ("0.0204", "0.0000")),
    ],
)
def test_mean_and_deviation_share_their_decimals(mean, deviation, texts):
    assert with_deviation(mean, deviation) == texts


@given(st.floats(1e-5, 1e5), st.floats(1e-6, 1e5))
def test_rounded_values_are_near_the_exact_ones(mean, deviation):
    shown = with_deviation(mean, deviation)
    assert float(shown[0]) == pytest.approx(mean, rel=0.006)
    assert float(shown[1]) == pytest.approx(deviation, rel=0.06)


def test_csv_rows_come_back(tmp_path):
    rows = summarise(repeat_rows([measured("local", 1, 1 / 3)]))
    write_rows(tmp_path / "rows.csv", SummaryRow, rows)
    found = read_rows(tmp_path / "rows.csv", SummaryRow)
    for row, before in zip(found, rows, strict=True):
        assert msgspec.structs.replace(row, mean=0, median=0, minimum=0, maximum=0) == (
            msgspec.structs.replace(before, mean=0, median=0, minimum=0, maximum=0)
        )
        assert row.mean == pytest.approx(before.mean, rel=1e-11)
    write_rows(tmp_path / "again.csv", SummaryRow, found)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "rows.csv").read_bytes()


def test_floats_in_a_csv_have_twelve_digits_and_whole_numbers_all_of_theirs():
    lines = [{"name": "a", "value": 0.1 + 0.2}, {"value": 123_456_789_012_345.0}, {"value": None}]
    assert csv_text(("name", "value"), lines) == "name,value\na,0.3\n,123456789012345\n,\n"


def test_a_damaged_csv_names_the_file(tmp_path):
    rows = summarise(repeat_rows([measured("local", 1, 1 / 3)]))
    write_rows(tmp_path / "rows.csv", SummaryRow, rows)
    damaged = (
        (tmp_path / "rows.csv")
        .read_text()
        .replace("setup,local,latency_s,1", "setup,local,latency_s,one")
    )
    (tmp_path / "rows.csv").write_text(damaged)
    with pytest.raises(SemgapError, match=r"rows.csv"):
        read_rows(tmp_path / "rows.csv", SummaryRow)


def test_the_csv_has_every_quantity():
    numbers = rendered()
    rows = numbers.table
    cells = list(csv.DictReader(io.StringIO(full_csv(numbers))))
    assert {line["commit"] for line in cells} == {"0123456789abcdef"}
    assert [(line["phase"], line["label"]) for line in cells] == [
        (row.phase, row.label) for row in rows
    ]
    latency = rows[0].quantities["latency_s"]
    assert float(cells[0]["mean_latency_s"]) == pytest.approx(latency.mean, rel=1e-11)
    assert float(cells[0]["std_latency_s"]) == pytest.approx(latency.std, rel=1e-11)
    assert float(cells[0]["mean_client_cpu_percent"]) == pytest.approx(50)


def test_the_latex_table_uses_booktabs_and_keeps_the_macro():
    text = latex(rendered())
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"(\sys)", r"GPU Util (\%)", r"$\pm$"):
        assert part in text
    assert text.count(r"\\") == 9


def test_one_repeat_is_not_called_a_mean():
    text = markdown(rendered(repeats=(1,)))
    assert "One repeat per mode" in text
    assert "±" not in text
    assert "mean ± sample" not in text


SPECIAL = r"a|b & c % $ # _x_ ~ ^ {y} \z \\ *e* <f> [g] `h` -- ±"


def test_a_label_is_shown_as_it_is_in_markdown():
    text = markdown(rendered(labels={**LABELS, "naive": Label(SPECIAL)}))
    row = next(line for line in text.splitlines() if line.startswith("| Prefill | a"))
    cells = re.split(r"(?<!\\)\|", row)
    assert len(cells) == 8
    shown = html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cells[2].strip()))
    assert shown == SPECIAL


def test_a_label_may_bring_its_own_latex():
    label = Label("alpha", latex=r"$\alpha$")
    text = latex(rendered(labels={**LABELS, "naive": label}))
    assert r"Prefill & $\alpha$ &" in text
