"""Three counts of the same bytes: each is right by itself, and each can be accused."""

import contextlib
import dataclasses
import math
import re
import socket
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sample_runs import phase, run, settings, step
from sample_table import LABELS, MANIFEST, MODES, recorded
from semgap.analysis.figures import save
from semgap.analysis.figures.time_line import median_step, spans_ms, time_line
from semgap.analysis.gates.counting import check_content, check_counts
from semgap.analysis.numbers.counts import count_rows
from semgap.analysis.numbers.prediction import predict
from semgap.analysis.numbers.traffic import TrafficRow
from semgap.analysis.reports.traffic import ethernet_bytes, traffic_markdown
from semgap.errors import MeasurementError
from semgap.meters.client_sockets import ClientSockets
from semgap.model.manifest import CacheTensor, WeightTensor
from semgap.modes import POLICIES
from semgap.plumbing.tcp_sockets import own_tcp_counters
from semgap.policy import TensorClass

replace = msgspec.structs.replace
WEIGHTS = 1_000_000
# Keys and values of two layers, 10 KB a position each; five weights.
SHAPE = replace(
    MANIFEST,
    kv_cache=tuple(CacheTensor(str(number), 0, 10_000, None) for number in range(4)),
    weights_bytes=WEIGHTS,
    logits_bytes_per_position=2000,
    tensors=tuple(WeightTensor(str(number), (1,), WEIGHTS // 5) for number in range(5)),
)
KV = [40_000 * positions for positions in range(11)]
SETUP_UP, SETUP_DOWN = ("setup", "up"), ("setup", "down")
PREFILL_UP, PREFILL_DOWN = ("prefill", "up"), ("prefill", "down")
DECODE_UP, DECODE_DOWN = ("decode", "up"), ("decode", "down")


def predicted(mode, manifest=SHAPE, **changed):
    """Weights, KV cache, tokens and logits in bytes: a prompt of 8 tokens, 2 decode steps."""
    record = run(mode, settings=replace(settings(), **changed))
    return {
        (row.phase, row.direction): (
            *(row.weights_bytes, row.kv_cache_bytes),
            *(row.tokens_bytes, row.logits_bytes),
        )
        for row in predict(record, manifest)
    }


def test_every_mode_of_the_table_is_predicted_by_hand():
    assert set(predicted("local").values()) == {(0, 0, 0, 0)}
    assert predicted("naive") == {
        SETUP_UP: (0, 0, 0, 0),
        SETUP_DOWN: (0, 0, 0, 0),
        PREFILL_UP: (WEIGHTS, 0, 64, 0),
        PREFILL_DOWN: (0, KV[8], 0, 2000),
        DECODE_UP: (2 * WEIGHTS, KV[8] + KV[9], 16, 0),
        DECODE_DOWN: (0, KV[9] + KV[10], 0, 4000),
    }
    cached = predicted("remote_cache")
    assert cached[SETUP_UP] == (WEIGHTS, 0, 0, 0)
    assert cached[DECODE_UP] == (0, KV[8] + KV[9], 16, 0)
    assert cached[DECODE_DOWN] == (0, KV[9] + KV[10], 0, 4000)
    semantic = predicted("semantic")
    assert semantic[SETUP_UP] == (WEIGHTS, 0, 0, 0)
    assert (semantic[PREFILL_UP], semantic[PREFILL_DOWN]) == ((0, 0, 64, 0), (0, 0, 0, 2000))
    assert (semantic[DECODE_UP], semantic[DECODE_DOWN]) == ((0, 0, 16, 0), (0, 0, 0, 4000))
    assert predicted("token_only")[DECODE_DOWN] == (0, 0, 0, 0)


def test_delta_sends_each_position_once_each_way():
    """The prompt's positions go up with the first decode step: the worker keeps what came."""
    delta = predicted("delta")
    assert (delta[PREFILL_UP], delta[PREFILL_DOWN]) == ((0, 0, 64, 0), (0, KV[8], 0, 2000))
    assert delta[DECODE_UP] == (0, KV[9], 16, 0)
    assert delta[DECODE_DOWN] == (0, KV[2], 0, 4000)


def test_windows_states_and_all_logits_are_part_of_the_formula():
    cache = (CacheTensor("window", 0, 10, 4), CacheTensor("state", 7, 0, None))
    of_windows = predicted("remote_cache", replace(SHAPE, kv_cache=cache))
    assert of_windows[PREFILL_UP][1] == 0
    assert of_windows[DECODE_UP][1] == 2 * (4 * 10 + 7)
    workload = replace(settings().workload, logits_to_keep=0)
    assert predicted("semantic", workload=workload)[PREFILL_DOWN][3] == 8 * 2000


@pytest.mark.parametrize(
    "policy", [one for one in POLICIES if not one.encoding], ids=lambda policy: policy.mode
)
def test_framing_is_of_messages_and_tensors_that_cross(policy):
    for row in predict(run(policy.mode), SHAPE):
        assert (row.messages > 0) == (row.framing_bytes > 0) == (policy.mode != "local")
        assert row.framing_bytes < 2000 * row.messages + 1
        assert row.expected_bytes == row.content_bytes + row.framing_bytes


def counted(mode="remote_cache", *, prediction=1.0, capture=1.0, counters=1.0):
    """A run's counts, each off by a factor."""
    record = run(mode)
    right = predict(record, SHAPE)
    sizes = {(row.phase, row.direction): row.expected_bytes for row in right}
    phases = tuple(
        replace(
            one,
            readings=one.readings
            | {
                "client_sockets": {
                    f"socket_{way}_{what}": sizes[one.name, way] * counters
                    for way in ("up", "down")
                    for what in ("bytes", "segments")
                }
            },
        )
        for one in record.phases
    )
    return count_rows(
        replace(record, phases=phases),
        [replace(row, kv_cache_bytes=int(row.kv_cache_bytes * prediction)) for row in right],
        [TrafficRow(*at, "tcpdump", int(size * capture), 0, 0, 1) for at, size in sizes.items()],
    )


def test_counts_that_agree_pass(tmp_path):
    for mode in MODES:
        check_counts(counted(mode), tmp_path / "rep1.json")


def planted(mode, **excess_bytes):
    """A run's decode, up, with a count that is so many bytes too high."""
    return [
        replace(row, **{name: getattr(row, name) + more for name, more in excess_bytes.items()})
        if (row.phase, row.direction) == DECODE_UP
        else row
        for row in counted(mode)
    ]


@pytest.mark.parametrize(
    ("mode", "excess", "passes"),
    [
        ("naive", {"captured_bytes": 1_000_000, "counted_bytes": 1_000_000}, False),
        ("semantic", {"captured_bytes": 10_000, "counted_bytes": 10_000}, False),
        ("semantic", {"captured_bytes": 1_000, "counted_bytes": 1_000}, True),
        ("naive", {"captured_bytes": 1_025}, False),
        ("naive", {"captured_bytes": 1_024}, True),
        ("local", {"captured_bytes": 1_025}, False),
    ],
)
def test_refused_bytes_that_nothing_explains(tmp_path, mode, excess, passes):
    rows = planted(mode, **excess)
    if passes:
        check_counts(rows, tmp_path / "rep1.json")
    else:
        with pytest.raises(MeasurementError, match="in the phase decode"):
            check_counts(rows, tmp_path / "rep1.json")


def moved(mode, more=0):
    """A run whose steps moved what must cross, with so many bytes more of the KV cache."""
    record = run(mode)
    must = {(row.phase, row.direction): row for row in predict(record, SHAPE)}

    def step_of(phase, first):
        content = [
            {one: getattr(must[phase, way], f"{one}_bytes") * first for one in TensorClass}
            for way in ("up", "down")
        ]
        content[0][TensorClass.KV_CACHE] += more * (phase == "decode") * first
        return replace(step(), up_bytes=content[0], down_bytes=content[1])

    phases = tuple(
        replace(
            one, steps=tuple(step_of(one.name, index == 0) for index, _ in enumerate(one.steps))
        )
        for one in record.phases
    )
    return replace(record, phases=phases)


@pytest.mark.parametrize("mode", MODES)
def test_refused_content_that_the_policy_does_not_move(tmp_path, mode):
    right = count_rows(run(mode), predict(run(mode), SHAPE), [])
    check_content(moved(mode), right, tmp_path / "rep1.json")
    if mode != "local":
        with pytest.raises(MeasurementError, match=r"decode of .* bytes of kv_cache went up"):
            check_content(moved(mode, more=1), right, tmp_path / "rep1.json")


@pytest.mark.parametrize(
    ("wrong", "accused", "remedy"),
    [
        ({"prediction": 1.03}, "the odd one out is the prediction", "Correct the formula"),
        ({"capture": 0.97}, "the odd one out is the capture", "only that repeat"),
        ({"counters": 1.03}, "the odd one out is the kernel's socket counters", "only that repeat"),
        ({"counters": 1.03, "capture": 0.9}, "they disagree", "only that repeat"),
    ],
)
def test_the_one_that_two_others_contradict_is_accused(tmp_path, wrong, accused, remedy):
    with pytest.raises(MeasurementError) as refused:
        check_counts(counted(**wrong), tmp_path / "rep1.json")
    assert accused in refused.value.cause
    assert remedy in refused.value.remedy


def test_two_counts_that_disagree_accuse_nobody(tmp_path):
    rows = [replace(row, counted_bytes=None) for row in counted(capture=0.97)]
    with pytest.raises(MeasurementError, match="they disagree"):
        check_counts(rows, tmp_path / "rep1.json")


def test_the_report_shows_every_mode_and_phase():
    rows = [row for mode in MODES for row in counted(mode)]
    numbers = dataclasses.replace(recorded(), counts=rows)
    text = traffic_markdown(numbers)
    for label in LABELS.values():
        assert text.count(f"| {label.text}") == 3 * 6
    assert f" {KV[8] + KV[9]:,} |" in text
    without = [replace(row, counted_bytes=None, captured_bytes=None) for row in rows]
    assert " – |" in traffic_markdown(dataclasses.replace(numbers, counts=without))


def test_the_time_line_shows_the_median_step_whose_spans_are_its_latency(tmp_path):
    steps = [replace(step(), latency_s=latency_s) for latency_s in (0.9, 0.5, 0.7, 0.6)]
    decode = phase("decode", 16, steps=tuple(steps))
    record = run("local")
    record = replace(record, phases=(*record.phases[:-1], decode))
    assert median_step([record]).latency_s == 0.6
    apart = replace(step(), send_s=0.07, host_to_device_s=0.02, device_to_host_s=0.01)
    for one in (step(), apart):
        assert sum(spans_ms(one).values()) == pytest.approx(1e3 * one.latency_s)
        assert math.fsum(one.spans_s.values()) == pytest.approx(one.latency_s)
        assert one.transfer_s == pytest.approx(0.2)
    assert spans_ms(apart)["host_to_device_s"] == pytest.approx(20)
    assert spans_ms(apart)["device_to_host_s"] == pytest.approx(10)
    save(time_line(recorded(*map(run, MODES))), tmp_path / "figure.svg")
    drawn = (tmp_path / "figure.svg").read_text()
    # Text is text, and each mode's spans stand below its bar.
    assert drawn.count(">500.0 ms</text>") == len(MODES)
    assert len(re.findall(r">client [\d.]+ · network [\d.]+ · copies [\d.]+ · model ", drawn)) == 4


@given(st.integers(0, 10**12))
def test_the_modelled_wire_carries_payload_and_headers(payload_bytes):
    """At 1,500 bytes a full packet has 1,448 of payload and 90 of headers."""
    small, large = (ethernet_bytes(payload_bytes, mtu) for mtu in (1500, 9000))
    assert payload_bytes <= large <= small
    assert 0 <= small - payload_bytes * (1448 + 90) / 1448 <= 90


ECHO = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    with server.accept()[0] as connection:
        while received := connection.recv(1 << 20):
            connection.sendall(received)
"""


@pytest.fixture
def echo():
    """A connection with a process that sends back what it receives."""
    with subprocess.Popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE) as process:
        address = ("127.0.0.1", int(process.stdout.readline()))
        with socket.create_connection(address) as connection:
            yield connection


def exchange(connection, size):
    connection.sendall(bytes(size))
    while size:
        size -= len(connection.recv(1 << 20))


def test_a_meter_of_sockets_counts_the_payload_of_its_window(echo):
    exchange(echo, 5000)
    meter = ClientSockets()
    with meter:
        exchange(echo, 70_000)
        exchange(echo, 30_000)
    exchange(echo, 5000)
    read = meter.read(0, 0)
    assert (read["socket_up_bytes"], read["socket_down_bytes"]) == (100_000, 100_000)
    assert min(read["socket_up_segments"], read["socket_down_segments"]) >= 2
    # A busy machine sends again on loopback, too.
    assert read["socket_retransmitted_bytes"] >= 0


def test_a_connection_of_a_process_with_itself_does_not_count():
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        before = own_tcp_counters()
        mine = stack.enter_context(socket.create_connection(server.getsockname()))
        stack.enter_context(server.accept()[0])
        mine.sendall(b"x" * 1000)
        assert own_tcp_counters() == before
