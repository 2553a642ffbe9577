"""What must cross, by hand and by property; framing measured again; the model of the wire."""

from __future__ import annotations

import multiprocessing
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from semgap.framing import FRAMING, NO_FRAMING, Framing
from semgap.messages import setup_messages
from semgap.meters.socket_counters import count_own_sockets, since
from semgap.modes import POLICIES, policy_of
from semgap.policy import Home, TensorClass
from semgap.protocol import Done, Forward, StoreWeights
from semgap.records import Manifest, WeightTensor
from semgap.tcp_sockets import free_port
from semgap.traffic import (
    Workload,
    exchanged_messages,
    messages_of_phases,
    predict,
    tolerance_bytes,
)
from semgap.transport.base import ReplyMessage, RequestMessage, Timeouts, load_transport
from semgap.wire_model import wire_bytes

MODES = tuple(policy.mode for policy in POLICIES)
REMOTE_MODES = ("naive", "remote_cache", "semantic")
CLASSES = tuple(TensorClass)


def manifest(weights_bytes=(1000, 24), kv_tensors=4, kv_tensor_bytes=20, logits_bytes=40):
    return Manifest(
        name="model",
        origin="made up",
        pretrained=False,
        dtype="float32",
        parameters=sum(weights_bytes) // 4,
        weights_bytes=sum(weights_bytes),
        kv_cache_tensors=kv_tensors,
        kv_cache_bytes_per_token=kv_tensors * kv_tensor_bytes,
        logits_bytes_per_position=logits_bytes,
        vocabulary_size=logits_bytes // 4,
        max_positions=64,
        fingerprint="f",
        model_config="{}",
        tensors=tuple(
            WeightTensor(f"w{index}", (size // 4,), size)
            for index, size in enumerate(weights_bytes)
        ),
        files=(),
    )


def workload(prompt=5, decode=3, warmup=1, keep=1):
    return Workload(prompt, decode, warmup, keep)


def content(mode, load=None, model=None):
    """(weights, KV cache, tokens, logits) by phase and direction, whatever lies between."""
    messages = exchanged_messages(
        policy_of(mode), model or manifest(), load or workload(), NO_FRAMING
    )
    return {
        (row.phase, row.direction): (
            row.weights_bytes,
            row.kv_cache_bytes,
            row.tokens_bytes,
            row.logits_bytes,
        )
        for row in predict(messages)
    }


def crossing(mode, load=None, model=None, transport="tcp"):
    messages = messages_of_phases(
        policy_of(mode), model or manifest(), load or workload(), transport
    )
    return {(row.phase, row.direction): row for row in predict(messages)}


# 1,024 B of weights, 80 B of KV cache a token, 40 B of logits a position, a prompt of 5 tokens.
# Warm-up: the prompt and 1 step. Decode: 3 steps that find 5, 6, 7 positions and leave 6, 7, 8.
BY_HAND = {
    "naive": {
        ("setup", "up"): (0, 0, 0, 0),
        ("warmup", "up"): (2_048, 400, 48, 0),
        ("warmup", "down"): (0, 400 + 480, 0, 80),
        ("prefill", "up"): (1_024, 0, 40, 0),
        ("prefill", "down"): (0, 400, 0, 40),
        ("decode", "up"): (3_072, 400 + 480 + 560, 24, 0),
        ("decode", "down"): (0, 480 + 560 + 640, 0, 120),
    },
    "remote_cache": {
        ("setup", "up"): (1_024, 0, 0, 0),
        ("warmup", "up"): (0, 400, 48, 0),
        ("warmup", "down"): (0, 400 + 480, 0, 80),
        ("prefill", "up"): (0, 0, 40, 0),
        ("prefill", "down"): (0, 400, 0, 40),
        ("decode", "up"): (0, 400 + 480 + 560, 24, 0),
        ("decode", "down"): (0, 480 + 560 + 640, 0, 120),
    },
    "semantic": {
        ("setup", "up"): (1_024, 0, 0, 0),
        ("warmup", "up"): (0, 0, 48, 0),
        ("warmup", "down"): (0, 0, 0, 80),
        ("prefill", "up"): (0, 0, 40, 0),
        ("prefill", "down"): (0, 0, 0, 40),
        ("decode", "up"): (0, 0, 24, 0),
        ("decode", "down"): (0, 0, 0, 120),
    },
}
# What `local` hands over within its process is what `semantic` sends.
BY_HAND["local"] = BY_HAND["semantic"]


@pytest.mark.parametrize("mode", MODES)
def test_content_is_that_of_arithmetic_by_hand(mode):
    assert content(mode) == {**BY_HAND[mode], ("setup", "down"): (0, 0, 0, 0)}


@pytest.mark.parametrize(
    ("keep", "prefill_bytes", "warmup_bytes"),
    [(0, 5 * 40, 5 * 40 + 40), (1, 40, 80), (3, 3 * 40, 3 * 40 + 40), (9, 5 * 40, 5 * 40 + 40)],
)
@pytest.mark.parametrize("mode", MODES)
def test_logits_of_the_kept_positions_return(mode, keep, prefill_bytes, warmup_bytes):
    found = content(mode, workload(keep=keep))
    logits = CLASSES.index(TensorClass.LOGITS)
    assert found["prefill", "down"][logits] == prefill_bytes
    assert found["warmup", "down"][logits] == warmup_bytes
    assert found["decode", "down"][logits] == 3 * 40
    assert all(found[phase, "up"][logits] == 0 for phase in ("prefill", "warmup", "decode"))


def test_a_message_is_framed_by_kind_tensors_and_padding():
    framing = Framing(request_bytes=100, reply_bytes=200, tensor_bytes=10, alignment_bytes=64)
    messages = exchanged_messages(policy_of("naive"), manifest(), workload(), framing)
    request, reply, *_ = messages["decode"]
    # 2 weights (1,000 B + 24 to the next 64; nothing behind the last), 1 of tokens, 4 of KV cache
    # (5 positions: 100 B + 28 each, but for the last).
    assert (request.direction, request.framing_bytes) == ("up", 100 + 7 * 10 + 24 + 3 * 28)
    assert request.content_bytes == 1_024 + 8 + 400
    # 1 of logits, 4 of KV cache (6 positions: 120 B + 8 each, but for the last).
    assert (reply.direction, reply.framing_bytes) == ("down", 200 + 5 * 10 + 3 * 8)
    assert reply.content_bytes == 40 + 480


def test_each_transport_has_its_framing():
    # Prefill of `semantic`: one request and one reply, with one tensor each.
    rpc, tcp = (crossing("semantic", transport=name) for name in ("torch_rpc", "tcp"))
    assert rpc["prefill", "up"].framing_bytes == 800 + 107
    assert rpc["prefill", "down"].framing_bytes == 830 + 107
    assert tcp["prefill", "up"].framing_bytes == 110 + 8
    assert tcp["prefill", "down"].framing_bytes == 260 + 8


def test_weights_are_shipped_in_messages_of_64_mb():
    mega = 1_000_000
    sizes = (40 * mega, 24 * mega, 63 * mega, 100 * mega, 1)
    assert list(setup_messages(sizes)) == [range(2), range(2, 4), range(4, 5)]
    setup = crossing("semantic", model=manifest(sizes))["setup", "up"]
    assert (setup.messages, setup.weights_bytes) == (3, 227_000_001)
    assert crossing("naive", model=manifest(sizes))["setup", "up"].messages == 0


def test_the_tolerance_is_half_a_percent_and_a_kilobyte_a_step():
    assert tolerance_bytes(1_000_000, 3) == 5_000 + 3_000
    assert tolerance_bytes(0, 0) == 0


manifests = st.builds(
    manifest,
    weights_bytes=st.lists(st.integers(1, 10**9), min_size=1, max_size=6).map(tuple),
    kv_tensors=st.integers(1, 60),
    kv_tensor_bytes=st.integers(1, 10_000),
    logits_bytes=st.integers(4, 10**6),
)
workloads = st.builds(
    workload,
    prompt=st.integers(1, 300),
    decode=st.integers(1, 40),
    warmup=st.integers(0, 5),
    keep=st.integers(0, 3),
)


@given(manifests, workloads)
def test_sums_over_decode_are_those_of_the_series(model, load):
    p, n = load.prompt_tokens, load.decode_steps
    per_token = model.kv_cache_bytes_per_token
    # p + (p+1) + ... + (p+n-1) positions go up, one more each comes down.
    series = n * p + n * (n - 1) // 2
    found = {mode: content(mode, load, model) for mode in MODES}
    for mode in MODES:
        weights, kv_cache, tokens, logits = found[mode]["decode", "up"]
        assert weights == (n * model.weights_bytes if mode == "naive" else 0)
        assert kv_cache == (per_token * series if mode in ("naive", "remote_cache") else 0)
        assert (tokens, logits) == (8 * n, 0)
        weights, kv_cache, tokens, logits = found[mode]["decode", "down"]
        assert kv_cache == (per_token * (series + n) if mode in ("naive", "remote_cache") else 0)
        assert (weights, tokens, logits) == (0, 0, n * model.logits_bytes_per_position)


@given(manifests, workloads)
def test_totals_are_the_sums_of_their_parts(model, load):
    for mode in MODES:
        messages = messages_of_phases(policy_of(mode), model, load, "tcp")
        for row in predict(messages):
            of_row = [each for each in messages[row.phase] if each.direction == row.direction]
            assert row.messages == len(of_row)
            assert row.content_bytes == sum(each.content_bytes for each in of_row)
            assert row.total_bytes == row.content_bytes + sum(each.framing_bytes for each in of_row)


@given(manifests, workloads, st.integers(1, 100))
def test_context_costs_those_who_send_it(model, load, longer):
    # A shorter prompt beside a longer one, all else equal.
    more = workload(
        load.prompt_tokens + longer,
        load.decode_steps,
        load.warmup_decode_steps,
        load.logits_to_keep,
    )
    for direction in ("up", "down"):
        for mode in ("naive", "remote_cache"):
            short = crossing(mode, load, model)["decode", direction]
            assert crossing(mode, more, model)["decode", direction].total_bytes > short.total_bytes
        short = crossing("semantic", load, model)["decode", direction]
        assert crossing("semantic", more, model)["decode", direction] == short


@given(manifests, workloads)
def test_who_knows_more_sends_no_more(model, load):
    found = [crossing(mode, load, model) for mode in REMOTE_MODES]
    for key in (("prefill", "up"), ("prefill", "down"), ("decode", "up"), ("decode", "down")):
        naive, remote_cache, semantic = (rows[key].total_bytes for rows in found)
        assert naive >= remote_cache >= semantic > 0


@given(manifests, workloads, st.sampled_from(sorted(FRAMING)))
def test_nothing_of_local_crosses(model, load, transport):
    rows = crossing("local", load, model, transport).values()
    assert len(rows) == 8
    assert all((row.messages, row.total_bytes) == (0, 0) for row in rows)


# A message of a payload, as frames: 52 B of IP and TCP and 38 B of Ethernet around each segment of
# at most 1,448 (8,948) B.
@pytest.mark.parametrize(
    ("payload_bytes", "mtu_bytes", "on_wire_bytes"),
    [
        (0, 1500, 0),
        (1, 1500, 91),
        (1_448, 1500, 1_538),
        (1_449, 1500, 1_538 + 91),
        (1_448_000, 1500, 1_538_000),
        (1, 9000, 91),
        (8_948, 9000, 9_038),
        (8_949, 9000, 9_038 + 91),
    ],
)
def test_a_message_on_the_wire(payload_bytes, mtu_bytes, on_wire_bytes):
    assert wire_bytes([payload_bytes], mtu_bytes) == on_wire_bytes


def test_each_message_begins_a_segment():
    assert wire_bytes([1, 1_448, 1_449], 1500) == 91 + 1_538 + 1_629
    assert wire_bytes([], 1500) == 0


TRANSPORTS = ("torch_rpc", "tcp")
TIMEOUTS = Timeouts(connect_s=60.0, step_s=60.0)
SPAWN = multiprocessing.get_context("spawn")
CALLS = 10
# Until acknowledgements that the kernel holds back have come.
SETTLE_S = 0.05
# As `semgap.framing` says.
VARIES_MESSAGE_BYTES, VARIES_TENSOR_BYTES = 320, 20
REFERENCE_ID = "0123456789abcdef" * 2
SHAPES = ((7,), (300, 5), (2, 3, 70), (1, 4, 9, 16))

# Shapes by semantic class, the same on the way there and back.
KINDS = {
    "nothing": {},
    "tokens": {TensorClass.TOKENS: [(1, 128)]},
    "one of 4 dimensions": {TensorClass.KV_CACHE: [(1, 16, 2000, 4)]},
    "weights": {TensorClass.WEIGHTS: [SHAPES[n % 4] for n in range(280)]},
    "vectors": {TensorClass.WEIGHTS: [(3,)] * 50},
    "KV cache of 4 dimensions": {TensorClass.KV_CACHE: [(1, 4, 300, 8)] * 56},
    "all that a step of naive sends": {
        TensorClass.WEIGHTS: [SHAPES[n % 2] for n in range(100)],
        TensorClass.TOKENS: [(1, 1)],
        TensorClass.KV_CACHE: [SHAPES[3]] * 16,
    },
}
REQUESTS = {
    "a pass that names a KV cache": Forward(1, Home.WORKER, REFERENCE_ID),
    "a pass": Forward(1, Home.CLIENT),
    "weights to keep": StoreWeights(280),
}


class Worker:
    """Sends back what it was sent, with the figures of a real reply and, on request, a GPU's."""

    device = torch.device("cpu")

    def handle(self, message):
        now_ns = time.monotonic_ns()
        gpu = isinstance(message.header, StoreWeights)
        done = Done(
            received_ns=message.received_ns,
            begin_ns=now_ns,
            end_ns=now_ns,
            compute_s=0.1234567,
            cpu_s=12.345678,
            reference_id=getattr(message.header, "reference_id", None),
            gpu_name="NVIDIA H100 80GB HBM3" if gpu else "",
            gpu_uuid="GPU-01234567-89ab-cdef-0123-456789abcdef" if gpu else "",
            upload_s=0.0012345,
            compute_cpu_s=0.2345678,
        )
        return ReplyMessage(done, {name: list(group) for name, group in message.tensors.items()})

    def settle(self):
        pass


def _serve(transport, port, ready):
    load_transport(transport).serve("127.0.0.1", port, Worker(), TIMEOUTS, ready.set)


def _measure(transport, port, ready, results):
    """Bytes up and down of one call, as the kernel counts them in the client, for each case."""
    assert ready.wait(60)
    channel = load_transport(transport).connect("127.0.0.1", port, TIMEOUTS)
    measured = {}
    for header_name, header in REQUESTS.items():
        for kind, classes in KINDS.items():
            tensors = {
                name: [
                    torch.ones(shape, dtype=torch.int64 if name == "tokens" else torch.float32)
                    for shape in shapes
                ]
                for name, shapes in classes.items()
            }
            message = RequestMessage(header, tensors)
            channel.request(message)
            time.sleep(SETTLE_S)
            before = count_own_sockets()
            for _ in range(CALLS):
                channel.request(message)
            time.sleep(SETTLE_S)
            moved = since(before, count_own_sockets())
            measured[header_name, kind] = (moved.sent_bytes / CALLS, moved.received_bytes / CALLS)
    results.put(measured)
    channel.close()


def _sizes_bytes(kind):
    """The bytes of each tensor, by class: 8 a token id, 4 of all else."""
    return [
        [
            int(torch.Size(shape).numel()) * (8 if name is TensorClass.TOKENS else 4)
            for shape in shapes
        ]
        for name, shapes in KINDS[kind].items()
    ]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_framing_is_what_the_kernel_counts_beside_the_tensors(transport):
    port, ready, results = free_port("127.0.0.1"), SPAWN.Event(), SPAWN.Queue()
    worker = SPAWN.Process(target=_serve, args=(transport, port, ready), daemon=True)
    client = SPAWN.Process(target=_measure, args=(transport, port, ready, results), daemon=True)
    worker.start()
    client.start()
    measured = results.get(timeout=60)
    for process in (client, worker):
        process.join(30)
        assert process.exitcode == 0
    framing = FRAMING[transport]
    for (header, kind), both_bytes in measured.items():
        groups = _sizes_bytes(kind)
        tensors = sum(len(sizes) for sizes in groups)
        beside_bytes = tensors * framing.tensor_bytes + sum(
            sum(sizes) + framing.padding_bytes(sizes) for sizes in groups
        )
        allowed_bytes = VARIES_MESSAGE_BYTES + VARIES_TENSOR_BYTES * tensors
        for direction, message_bytes, found_bytes in zip(
            ("up", "down"), (framing.request_bytes, framing.reply_bytes), both_bytes, strict=True
        ):
            off_bytes = found_bytes - (message_bytes + beside_bytes)
            assert abs(off_bytes) <= allowed_bytes, (header, kind, direction, off_bytes)
