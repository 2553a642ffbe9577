"""docs/architecture.md names the files that a token and a byte pass: those that a trace shows."""

import contextlib
import re
import sys
from pathlib import Path

import pytest

from packets import Packet, pcap
from sample_runs import phase, run
from sample_table import LABELS
from semgap.analysis.gates.counting import check_content, check_counts
from semgap.analysis.numbers.counts import PredictedRow, count_rows
from semgap.analysis.numbers.numbers import table_rows
from semgap.analysis.numbers.summary import repeat_rows, summarise
from semgap.analysis.numbers.traffic import TrafficRow, traffic_of_run
from semgap.analysis.reports.columns import gigabytes_text
from semgap.measurement.tcpdump import CaptureStatus
from semgap.modes import policy_of
from semgap.plumbing.files import read_rows, write_rows
from small_models import PROJECT, store_small_model
from test_session import generated, start

LIBRARY = PROJECT / "scripts" / "semgap"
PAGE = PROJECT / "docs" / "architecture.md"


def named(heading):
    """The files of the block under a heading."""
    text = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    return set(re.findall(r"^ *([a-z_/]+\.py)", text.split("```")[1], re.MULTILINE))


@contextlib.contextmanager
def traced():
    """The files of the library whose functions are called in the block, those of plumbing/ not."""
    files = set()

    def see(frame, event, _argument):
        code = frame.f_code
        if event == "call" and code.co_name != "<module>":
            file = Path(code.co_filename)
            if file.is_relative_to(LIBRARY) and not file.is_relative_to(LIBRARY / "plumbing"):
                files.add(str(file.relative_to(LIBRARY)))

    sys.setprofile(see)
    try:
        yield files
    finally:
        sys.setprofile(None)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return store_small_model("gptj", tmp_path_factory.mktemp("gptj"))


def test_the_way_of_a_token(stored):
    passed = set()
    for mode in ("naive", "semantic"):
        client = start(stored, policy_of(mode))
        with traced() as files:
            generated(client)
        passed |= files
    assert passed == named("The way of a token")


def test_the_way_of_a_byte(tmp_path):
    probe = Packet(src_port=3000, dst_port=4000, payload_bytes=1000)
    request = Packet(payload_bytes=200, time_ns=16_500_000_000)
    reply = Packet(src_port=2000, dst_port=1000, payload_bytes=100, time_ns=16_600_000_000)
    (tmp_path / "run.pcap").write_bytes(pcap([probe, request, reply]))
    decode = phase("decode", 16, steps=2)
    record = run("semantic", phases=(decode,), capture=CaptureStatus(True, "", "lo", 3, 0))
    predicted = [
        PredictedRow(
            "decode",
            "up",
            2,
            0,
            0,
            tokens_bytes=200,
            logits_bytes=0,
            framing_bytes=0,
            encoded_bytes=None,
        ),
        PredictedRow(
            "decode",
            "down",
            2,
            0,
            0,
            tokens_bytes=0,
            logits_bytes=100,
            framing_bytes=0,
            encoded_bytes=None,
        ),
    ]
    with traced() as files:
        traffic = traffic_of_run(record, tmp_path / "run.pcap")
        write_rows(tmp_path / "traffic.csv", TrafficRow, traffic)
        traffic = read_rows(tmp_path / "traffic.csv", TrafficRow)
        rows = count_rows(record, predicted, traffic)
        check_content(record, rows, tmp_path / "rep1.json")
        check_counts(rows, tmp_path / "rep1.json")
        summary = summarise(repeat_rows([(record, traffic, predicted)]))
        (row,) = table_rows(summary, {"semantic": LABELS["semantic"]}, ["decode"])
        assert gigabytes_text(row) == "3.000e-07"
    assert files == named("The way of a byte")
    assert len(files) <= 13


def test_the_page_is_short():
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) <= 100
