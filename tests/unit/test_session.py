"""Client and worker under every policy, in one process: what is kept, sent, and refused."""

import itertools
import json
import os
import time
from types import SimpleNamespace

import msgspec
import numpy
import pytest
import torch
import transformers

from semgap.encodings import encoded_channel, encoded_handler
from semgap.errors import ConfigError, ModelError, ReferenceIdError, RemoteError
from semgap.execution import GenerationLimits, generate, load_executor
from semgap.inference.client import InferenceClient
from semgap.inference.steps import SPANS
from semgap.inference.worker import Worker
from semgap.inference.worker_settings import WorkerSettings
from semgap.measurement import phases as phases_module
from semgap.measurement.phases import TIMED, Phases
from semgap.meters import PhaseMeters, Span, load_meter, processor_speed
from semgap.meters.gpu_kernels import union_length
from semgap.model.device import CpuDevice, open_device
from semgap.model.weights import map_weights
from semgap.modes import POLICIES, places_of, policy_of
from semgap.placements import Held
from semgap.placements.delta import PLACEMENT as DELTA
from semgap.plumbing.clocks import ClockReading
from semgap.plumbing.limits import threads_or_all_cores
from semgap.plumbing.tcp_sockets import sockets_of
from semgap.policy import TensorClass
from semgap.protocol import Forward
from semgap.session import Session
from semgap.session.in_process import InProcessChannel
from semgap.state import KvCache, make_unusable
from semgap.transport import RequestMessage
from small_models import store_small_model

PROMPT = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])


def start(stored, policy, channel=None):
    folder, manifest = stored
    if channel is None:
        worker = encoded_handler(Worker(CpuDevice()), policy.encoding)
        channel = encoded_channel(InProcessChannel(worker), policy.encoding)
    client = InferenceClient(channel, policy, manifest, map_weights(folder, manifest))
    client.configure("eager")
    if policy.executor == "forward_pass":
        client.setup()
    return client


def executor_of(client, steps=3, logits_to_keep=1):
    limits = GenerationLimits(500, logits_to_keep, max_steps=1 + steps)
    executor = load_executor(client._policy.executor).open_executor(client, limits)
    executor.setup()
    return executor


def generated(client, steps=3):
    """The logits of a prefill and of decode steps, as every mode's step loop has them."""
    executor = executor_of(client, steps)
    records = list(itertools.islice(generate(executor, PROMPT[0].tolist()), 1 + steps))
    answer = executor.answer()
    assert len(answer.token_ids) == len(records) == 1 + steps
    executor.reset()
    return torch.from_numpy(answer.logits)


def grows(stored):
    """Whether a model's cache keeps every position of the prompt in every layer."""
    kept = {tensor.most_positions or len(PROMPT[0]) for tensor in stored[1].kv_cache}
    return kept == {len(PROMPT[0])} and all(one.bytes_per_position for one in stored[1].kv_cache)


def fits(policy, stored):
    """Whether a model can be run as a policy says."""
    if policy.kv_cache == "delta":
        return grows(stored)
    if policy.executor == "recorded_operations":
        # All of its layers keep all positions, and it takes them.
        return json.loads(stored[1].model_config)["model_type"] in ("gptj", "gpt2", "llama")
    # Which experts compute depends on numbers, unless the model looks at its device.
    return policy.executor == "forward_pass" or "mixtral" not in stored[1].model_config


def reference(stored, steps=3):
    """The same generation by transformers alone."""
    folder, _manifest = stored
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    name = "cache_params" if model.config.model_type == "mamba" else "past_key_values"
    tokens, kv_cache, answer = PROMPT, None, []
    for _ in range(1 + steps):
        with torch.inference_mode():
            output = model(input_ids=tokens, use_cache=True, **{name: kv_cache})
        kv_cache = output[name]
        answer.append(output.logits[0, -1])
        tokens = output.logits[:, -1:].argmax(-1)
    return torch.stack(answer)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.mode)
def test_every_policy_computes_what_transformers_computes(stored_model, policy):
    client = start(stored_model, policy)
    if not fits(policy, stored_model):
        said = "Leave 'delta' out|leave 'op_graph' out|device does not have|depends on content"
        with pytest.raises((ModelError, RemoteError), match=said):
            generated(client)
        return
    answer = generated(client)
    expected = reference(stored_model)
    assert torch.equal(answer.argmax(-1), expected.argmax(-1))
    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-5 + policy.logit_tolerance)


def test_all_policies_agree_to_the_bit(stored_model):
    policies = [one for one in POLICIES if not one.logit_tolerance and fits(one, stored_model)]
    answers = [generated(start(stored_model, policy)) for policy in policies]
    assert all(torch.equal(answer, answers[0]) for answer in answers)


def test_every_row_that_the_columns_permit_agrees_to_the_bit(gptj):
    places = {str(one): places_of(one) for one in TensorClass}
    rows = [
        msgspec.structs.replace(POLICIES[1], **dict(zip(places, row, strict=True)))
        for row in itertools.product(*places.values())
    ]
    assert len(rows) == 12
    answers = [generated(start(gptj, row)) for row in rows]
    assert all(torch.equal(answer, answers[0]) for answer in answers)


def test_all_logits_are_returned_on_request(gptj):
    client = start(gptj, policy_of("semantic"))
    logits, _, exchange = client.forward(PROMPT, Held(), logits_to_keep=0)
    assert logits.shape == (1, 8, 500)
    assert exchange.step.down_bytes == {TensorClass.LOGITS: 8 * 500 * 4}


def test_the_token_is_chosen_from_the_last_position(gptj):
    every, last = (
        executor_of(start(gptj, policy_of("semantic")), logits_to_keep=kept).step(PROMPT)[0]
        for kept in (0, 1)
    )
    assert every == last


@pytest.mark.parametrize(
    ("mode", "up", "down"),
    [
        ("naive", {"weights", "tokens", "kv_cache"}, {"logits", "kv_cache"}),
        ("remote_cache", {"tokens", "kv_cache"}, {"logits", "kv_cache"}),
        ("semantic", {"tokens"}, {"logits"}),
        ("delta", {"tokens", "kv_cache"}, {"logits", "kv_cache"}),
        ("token_only", {"tokens"}, set()),
    ],
)
def test_what_a_decode_step_carries(gptj, mode, up, down):
    client = start(gptj, policy_of(mode))
    _, kv_cache, _ = client.forward(PROMPT, Held(), 1)
    _, _, exchange = client.forward(PROMPT[:, :1], kv_cache, 1)
    assert {str(name) for name in exchange.step.up_bytes} == up
    assert {str(name) for name in exchange.step.down_bytes} == down


def test_kv_cache_bytes_follow_the_models_form(stored_model):
    """A step sends the cache after the positions before, and gets it back one position longer."""
    client, manifest = start(stored_model, policy_of("remote_cache")), stored_model[1]
    executor = executor_of(client)
    records = itertools.islice(generate(executor, PROMPT[0].tolist()), 4)
    for positions, record in enumerate(records, start=PROMPT.shape[1] - 1):
        up, down = record.up_bytes, record.down_bytes
        assert down[TensorClass.KV_CACHE] == manifest.kv_cache_bytes(positions + 1)
        if positions >= PROMPT.shape[1]:
            assert up[TensorClass.KV_CACHE] == manifest.kv_cache_bytes(positions)


def test_a_window_bounds_the_bytes(tmp_path):
    _, manifest = store_small_model("mistral-window", tmp_path)
    per_position = 2 * 2 * (2 * 16) * 4
    assert [manifest.kv_cache_bytes(n) for n in (2, 3, 4, 40)] == [
        kept * per_position for kept in (2, 3, 3, 3)
    ]


def test_a_state_has_a_fixed_size(tmp_path):
    """Each Mamba layer: the last 4 inputs of the convolution, and 16 states per channel."""
    _, manifest = store_small_model("mamba-state", tmp_path)
    assert manifest.kv_cache_bytes(1) == manifest.kv_cache_bytes(99) == 2 * 128 * (4 + 16) * 4


def test_delta_moves_each_position_once_each_way(gptj):
    """Up goes what the worker has not been sent yet, down what the client has not got yet."""
    client = start(gptj, policy_of("delta"))
    position_bytes = gptj[1].kv_cache_bytes(1)
    moved, kv_cache, tokens = [], Held(), PROMPT
    for _ in range(4):
        _, kv_cache, exchange = client.forward(tokens, kv_cache, 1)
        sent, returned = exchange.step.up_bytes, exchange.step.down_bytes
        moved.append(
            tuple(one.get(TensorClass.KV_CACHE, 0) // position_bytes for one in (sent, returned))
        )
        tokens = PROMPT[:, :1]
    assert moved == [(0, 8), (8, 1), (1, 1), (1, 1)]
    assert kv_cache.tensors[0].shape[-2] == 8 + 3


def test_what_the_clients_placement_does_is_part_of_the_step(gptj, monkeypatch):
    def slow(*arguments):
        time.sleep(0.05)
        return DELTA.down(*arguments)

    client = start(gptj, policy_of("delta"))
    monkeypatch.setattr(client, "_kv_placement", SimpleNamespace(up=DELTA.up, down=slow))
    _, _, exchange = client.forward(PROMPT, Held(), 1)
    step = exchange.step
    assert step.placement_s > 0.05
    assert set(step.spans_s) == set(SPANS)
    assert min(step.spans_s.values()) >= 0
    assert sum(step.spans_s.values()) == pytest.approx(step.latency_s)


def test_meters_around_passes_add_up_and_those_around_a_phase_are_read_once(gptj):
    client = start(gptj, policy_of("semantic"))
    client.start_meters(around_phase=["client_cpu"], around_passes=[])
    _, kv_cache, _ = client.forward(PROMPT, Held(), 1)
    assert client.read_meters().readings["client_cpu"]["client_cpu_busy_s"] > 0
    client.start_meters(around_phase=[], around_passes=["client_cpu"])
    assert client.read_meters().readings == {"client_cpu": {}}
    client.start_meters(around_phase=[], around_passes=["client_cpu"])
    client.forward(PROMPT[:, :1], kv_cache, 1)
    assert client.read_meters().readings["client_cpu"]["client_cpu_busy_s"] > 0
    meters = PhaseMeters((), ("client_cpu",), "")
    read = []
    for _ in range(2):
        with meters.around_pass():
            sum(range(200_000))
        read.append(meters._sums["client_cpu"]["client_cpu_busy_s"])
    assert 0 < read[0] < read[1] == meters.stop()["client_cpu"]["client_cpu_busy_s"]


def test_a_pass_that_is_many_requests_is_metered_as_one(gptj, monkeypatch):
    entered = []
    meter = load_meter("client_cpu")
    monkeypatch.setattr(meter, "__enter__", lambda self: entered.append(self))
    monkeypatch.setattr(meter, "__exit__", lambda *_: None)
    monkeypatch.setattr(meter, "read", lambda *_: {"number": 1.0})
    client = start(gptj, policy_of("op_sync"))
    executor = executor_of(client)
    client.start_meters(around_phase=[], around_passes=["client_cpu"])
    list(itertools.islice(generate(executor, PROMPT[0].tolist()), 3))
    assert client.read_meters().readings == {"client_cpu": {"number": 3.0}}
    next(generate(executor, [7]))
    assert len(entered) == 3, "what comes after the phase is not metered"


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.mode)
def test_a_generation_goes_on_from_where_it_was_marked(stored_model, policy):
    """As often as it is rewound, and nothing of it stays on the worker after a reset."""
    if not fits(policy, stored_model):
        pytest.skip(f"{policy.mode} cannot run this model")
    worker = Worker(CpuDevice())
    channel = InProcessChannel(encoded_handler(worker, policy.encoding))
    channel = encoded_channel(channel, policy.encoding)
    executor = executor_of(start(stored_model, policy, channel))
    steps = generate(executor, PROMPT[0].tolist())
    next(steps)
    executor.mark()
    expected = None
    for _ in range(3):
        token_id = executor.rewind()
        list(itertools.islice(generate(executor, [token_id]), 3))
        answer = executor.answer()
        assert len(answer.token_ids) == 4
        expected = answer if expected is None else expected
        assert answer.token_ids == expected.token_ids
        assert (answer.logits == expected.logits).all()
    assert torch.equal(torch.from_numpy(expected.logits), generated(start(stored_model, policy)))
    executor.reset()
    assert not worker._kept_caches._values
    assert not worker._kept_logits._values


class ReusedMemory(InProcessChannel):
    """What a step brought is overwritten when the next one has come, as in a transport."""

    _last = ()

    def request(self, message):
        reply = super().request(message)
        if reply.tensors:
            with torch.inference_mode():
                for tensor in self._last:
                    tensor.fill_(torch.nan)
            self._last = [one for group in reply.tensors.values() for one in group]
        return reply


@pytest.mark.parametrize("mode", ["remote_cache", "delta"])
def test_what_is_marked_outlives_the_memory_of_its_step(gptj, mode):
    client = start(gptj, policy_of(mode), ReusedMemory(Worker(CpuDevice())))
    executor = executor_of(client)
    next(generate(executor, PROMPT[0].tolist()))
    executor.mark()
    for _ in range(2):
        list(itertools.islice(generate(executor, [executor.rewind()]), 3))
        assert not numpy.isnan(executor.answer().logits).any()


def test_phases_run_back_to_back_for_as_long_as_asked(gptj):
    executor = executor_of(client := start(gptj, policy_of("semantic")))
    nobody = Session(None, "in_process", lambda: sockets_of(os.getpid()), one_clock=True)
    phases = Phases(client, nobody, (Span.BACK_TO_BACK,), has_gpu=False, say=lambda _text: None)
    assert not phases.has_meters
    phases.run_back_to_back(executor, PROMPT[0].tolist(), 2, at_least_s=0.2)
    single = Phases(client, nobody, TIMED, has_gpu=False, say=lambda _text: None)
    single.run_generation(executor, PROMPT[0].tolist(), 2)
    for phase, steps in zip(single.with_readings_of(phases), (1, 2), strict=True):
        times = phase.readings["back_to_back"]
        assert times["back_to_back_runs"] >= 1
        assert times["back_to_back_runs"] * times["back_to_back_latency_s"] >= 0.2
        assert phase.readings["client_cpu"]["client_cpu_busy_s"] > 0
        assert len(phase.steps) == steps
    # What is no meter's own, a program's use for example, is there for both: the timed run's stays.
    for run, number in ((single, 1), (phases, 2)):
        run.phases = tuple(
            msgspec.structs.replace(phase, readings={"programs": {"number": number}})
            for phase in run.phases
        )
    for phase in single.with_readings_of(phases):
        assert phase.readings["programs"] == {"number": 1}


def test_a_run_that_lasts_serves_all_meters_that_are_left(gptj):
    executor = executor_of(client := start(gptj, policy_of("semantic")))
    nobody = Session(None, "in_process", lambda: sockets_of(os.getpid()), one_clock=True)

    def run(*spans):
        phases = Phases(client, nobody, spans, has_gpu=False, say=lambda _text: None)
        phases.run_generation(executor, PROMPT[0].tolist(), 2)
        return phases

    timed, again = run(*TIMED), run(Span.PASS, Span.BACK_TO_BACK)
    for phase, other in zip(timed.with_readings_of(again), again.phases, strict=True):
        once = {"back_to_back_runs": 1, "back_to_back_latency_s": other.latency_s}
        assert phase.readings["back_to_back"] == once
    with timed.phase("setup"):
        pass
    shortest_s = min(phase.latency_s for phase in timed.phases[:2])
    assert timed.lasted(shortest_s)
    assert not timed.lasted(shortest_s * 1.01)


def test_what_a_meter_does_itself_is_in_no_other_meter(gptj, monkeypatch):
    # Long enough that nothing else of a phase takes as long, on a busy machine either.
    monkeypatch.setattr(processor_speed, "_ADDITIONS", 1_000_000)
    client = start(gptj, policy_of("semantic"))
    nobody = Session(None, "in_process", lambda: sockets_of(os.getpid()), one_clock=True)
    phases = Phases(client, nobody, TIMED, has_gpu=False, say=lambda _text: None)
    with phases.phase("prefill"):
        time.sleep(0.05)
    readings = phases.phases[0].readings
    loop_s = readings["processor_speed"]["reference_loop_s"]
    assert readings["client_cpu"]["client_cpu_busy_s"] < loop_s


class FakeClock:
    """Stands still but for what a test lets pass."""

    def __init__(self):
        self.now_s = 1000.0

    def monotonic_ns(self):
        return int(self.now_s * 1e9)

    def sleep(self, seconds):
        self.now_s += seconds


def test_the_latency_is_that_of_the_last_generations_steps_and_nothing_else(gptj, monkeypatch):
    """Each step passes a second of a fake clock; all that is beside the steps, a minute."""
    clock = FakeClock()
    monkeypatch.setattr(phases_module, "time", clock)
    client = start(gptj, policy_of("semantic"))
    executor = executor_of(client, 2)

    def takes(name, seconds):
        act = getattr(executor, name)

        def slow(*arguments):
            clock.sleep(seconds)
            return act(*arguments)

        monkeypatch.setattr(executor, name, slow)

    def sockets():
        clock.sleep(60)
        return sockets_of(os.getpid())

    takes("step", 1)
    takes("reset", 60)
    session = Session(None, "in_process", sockets, one_clock=True)
    phases = Phases(client, session, TIMED, False, say=lambda _text: clock.sleep(60))
    for _rehearsal in range(2):
        rehearsed = Phases(client, session, TIMED, False, say=lambda _text: clock.sleep(60))
        rehearsed.run_generation(executor, PROMPT[0].tolist(), 2)
    phases.run_generation(executor, PROMPT[0].tolist(), 2)
    assert phases.latencies_s == {"prefill": 1.0, "decode": 2.0}
    # One that need not be whole ends with the step in which it took so long.
    long = Phases(client, session, TIMED, False, say=lambda _text: clock.sleep(60))
    long.run_generation(executor, PROMPT[0].tolist(), 2, enough_s=1.0)
    assert long.latencies_s == {"prefill": 1.0, "decode": 1.0}


def test_a_phase_begins_when_its_latency_does(gptj, monkeypatch):
    """However long before it the clocks were read."""
    read_before = ClockReading(unix_ns=10**18, monotonic_ns=0, bound_ns=1)
    monkeypatch.setattr(phases_module, "read_clocks", lambda: read_before)
    session = Session(None, "in_process", lambda: sockets_of(os.getpid()), one_clock=True)
    client = start(gptj, policy_of("semantic"))
    phases = Phases(client, session, TIMED, has_gpu=False, say=lambda _text: None)
    before_ns = time.monotonic_ns()
    with phases.phase("prefill"):
        within_ns = time.monotonic_ns()
    phase = phases.phases[0]
    assert before_ns <= phase.begin_ns <= within_ns
    assert phase.begin_unix_ns - phase.begin_ns == read_before.unix_ns


def test_what_is_joined_shares_no_memory():
    memory = torch.arange(3.0).reshape(1, 1, 3, 1)
    cache = KvCache((memory, memory + 10), length=3)
    assert [tensor.flatten().tolist() for tensor in cache.valid()] == [[0, 1, 2], [10, 11, 12]]
    assert [tensor.flatten().tolist() for tensor in cache.since(2)] == [[2], [12]]
    joined = cache.joined([memory[:, :, :1] + 50, memory[:, :, :1] + 60], 4)
    assert joined.length == 4
    assert joined.tensors[1].flatten().tolist() == [10, 11, 12, 60]
    first = KvCache().joined(cache.valid(), 3)
    copied = cache.copied()
    memory.fill_(torch.nan)
    apart = (*joined.tensors, *first.tensors, *copied.tensors)
    assert not any(torch.isnan(tensor).any() for tensor in apart)


def test_delta_keeps_nothing_that_the_client_did_not_send(gptj):
    worker = Worker(CpuDevice())
    client = start(gptj, policy_of("delta"), InProcessChannel(worker))
    _, kv_cache, _ = client.forward(PROMPT, Held(), 1)
    _, kv_cache, _ = client.forward(PROMPT[:, :1], kv_cache, 1)
    kept = worker._kept_caches.take(kv_cache.reference_id).tensors
    assert all(
        torch.equal(theirs, ours[..., :8, :])
        for theirs, ours in zip(kept, kv_cache.tensors, strict=True)
    )


def kept_by(worker):
    """How many KV caches and logits a worker keeps."""
    return len(worker._kept_caches._values) + len(worker._kept_logits._values)


@pytest.mark.parametrize("mode", ["semantic", "token_only"])
def test_a_released_generation_leaves_nothing_with_the_worker(gptj, mode):
    worker = Worker(CpuDevice())
    client = start(gptj, policy_of(mode), InProcessChannel(worker))
    generated(client)
    abandoned = executor_of(client)
    next(generate(abandoned, PROMPT[0].tolist()))
    assert kept_by(worker) > 0
    abandoned.reset()
    assert kept_by(worker) == 0


class Withholding(InProcessChannel):
    """Loses the last weight of every pass after the first."""

    passes = 0

    def request(self, message):
        if isinstance(message.header, Forward):
            self.passes += 1
            if self.passes > 1:
                tensors = dict(message.tensors)
                tensors[TensorClass.WEIGHTS] = tensors[TensorClass.WEIGHTS][:-1]
                message = RequestMessage(message.header, tensors)
        return super().request(message)


def test_naive_keeps_no_weight_between_steps(gptj):
    client = start(gptj, policy_of("naive"), Withholding(Worker(CpuDevice())))
    _, kv_cache, _ = client.forward(PROMPT, Held(), 1)
    with pytest.raises(ModelError, match="weight tensors came where"):
        client.forward(PROMPT[:, :1], kv_cache, 1)


def test_weights_that_came_with_a_pass_are_released_after_it(gptj):
    """A pass without weights is then an error, not an answer of NaNs."""
    worker = Worker(CpuDevice())
    naive = start(gptj, policy_of("naive"), InProcessChannel(worker))
    naive.forward(PROMPT, Held(), 1)
    policy = msgspec.structs.replace(policy_of("naive"), weights="resident")
    folder, manifest = gptj
    weightless = InferenceClient(
        InProcessChannel(worker), policy, manifest, map_weights(folder, manifest)
    )
    with pytest.raises(ModelError, match="weights are not there"):
        weightless.forward(PROMPT, Held(), 1)


class Watching(InProcessChannel):
    """Sees what the worker does to the weights it was lent."""

    lent: tuple[torch.Tensor, ...] = ()

    def request(self, message):
        copies = {
            name: [tensor.clone() for tensor in group] for name, group in message.tensors.items()
        }
        self.lent = tuple(itertools.chain.from_iterable(copies.values()))
        reply = self._handler.handle(RequestMessage(message.header, copies))
        self._handler.discard()
        return reply


def test_what_was_lent_for_a_step_is_overwritten(gptj):
    channel = Watching(Worker(CpuDevice()))
    client = start(gptj, policy_of("naive"), channel)
    _, kv_cache, _ = client.forward(PROMPT, Held(), 1)
    client.forward(PROMPT[:, :1], kv_cache, 1)
    floating = [tensor for tensor in channel.lent if tensor.is_floating_point()]
    assert len(floating) == len(client._step_weights) + len(kv_cache.tensors)
    assert all(torch.isnan(tensor[..., 0]).all() for tensor in floating)


def test_a_row_made_unusable_spoils_every_answer(gptj):
    """One NaN a row is enough: no weight that was lent can serve a second pass."""
    folder, manifest = gptj
    weights = [tensor.clone() for tensor in map_weights(folder, manifest)]
    for index in range(len(weights)):
        spoiled = [tensor.clone() for tensor in weights]
        make_unusable(spoiled[index])
        client = InferenceClient(
            InProcessChannel(Worker(CpuDevice())), policy_of("naive"), manifest, spoiled
        )
        client.configure("eager")
        logits, _, _ = client.forward(PROMPT, Held(), 1)
        assert torch.isnan(logits).any()


def test_a_pass_without_any_weights_is_an_error(gptj):
    policy = msgspec.structs.replace(policy_of("naive"), weights="resident")
    folder, manifest = gptj
    client = InferenceClient(
        InProcessChannel(Worker(CpuDevice())), policy, manifest, map_weights(folder, manifest)
    )
    client.configure("eager")
    with pytest.raises(ModelError, match="weights are not there"):
        client.forward(PROMPT, Held(), 1)


def test_a_pass_before_the_model_is_an_error(gptj):
    folder, manifest = gptj
    client = InferenceClient(
        InProcessChannel(Worker(CpuDevice())),
        policy_of("semantic"),
        manifest,
        map_weights(folder, manifest),
    )
    with pytest.raises(RemoteError, match="no model yet"):
        client.forward(PROMPT, Held(), 1)


def test_a_reference_id_serves_once(gptj):
    client = start(gptj, policy_of("semantic"))
    _, first, _ = client.forward(PROMPT, Held(), 1)
    _, second, _ = client.forward(PROMPT[:, :1], first, 1)
    assert first.reference_id != second.reference_id
    with pytest.raises(ReferenceIdError, match="used up"):
        client.forward(PROMPT[:, :1], first, 1)


def test_a_released_reference_id_is_gone(gptj):
    client = start(gptj, policy_of("semantic"))
    _, kv_cache, _ = client.forward(PROMPT, Held(), 1)
    client.release(kv_cache.reference_id)
    with pytest.raises(ReferenceIdError):
        client.forward(PROMPT[:, :1], kv_cache, 1)


def test_a_reference_id_of_another_session_is_unknown(gptj):
    mine, theirs = (start(gptj, policy_of("semantic")) for _ in range(2))
    _, kv_cache, _ = theirs.forward(PROMPT, Held(), 1)
    mine.forward(PROMPT, Held(), 1)
    with pytest.raises(ReferenceIdError, match="belongs to another session"):
        mine.forward(PROMPT[:, :1], kv_cache, 1)


def test_the_kv_cache_matters(gptj):
    """Dropping it must be visible far beyond any tolerance, or the gate would prove nothing."""
    client = start(gptj, policy_of("remote_cache"))
    _, kv_cache, _ = client.forward(PROMPT, Held(), 1)
    kept, _, _ = client.forward(PROMPT[:, :1], kv_cache, 1)
    dropped, _, _ = client.forward(PROMPT[:, :1], Held(), 1)
    assert (kept - dropped).abs().max() > 1e-2


def test_weights_of_another_shape_are_refused(gptj):
    folder, manifest = gptj
    weights = list(map_weights(folder, manifest))
    weights[0] = torch.zeros(3)
    client = InferenceClient(
        InProcessChannel(Worker(CpuDevice())), policy_of("naive"), manifest, weights
    )
    client.configure("eager")
    with pytest.raises(ModelError, match=r"is \(3,\)"):
        client.forward(PROMPT, Held(), 1)


def test_a_gpu_that_is_not_there_is_named():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(Exception, match="PyTorch sees no CUDA device"):
        open_device("cuda")


def test_a_gpu_beyond_those_that_are_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _device: None)
    properties = SimpleNamespace(name="a GPU", uuid="1")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: properties)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: None)
    assert open_device("cuda:1").torch_device.index == 1
    with pytest.raises(ConfigError, match="'cuda:2', but PyTorch sees cuda:0 to cuda:1"):
        open_device("cuda:2")


def test_beside_a_gpu_one_thread_of_the_processor_is_enough():
    """In one process with the client it would spin while the client chooses a token."""
    assert WorkerSettings(device="cuda").threads == 1
    assert WorkerSettings(device="cuda:1", compute_threads=3).threads == 3
    assert WorkerSettings().threads == threads_or_all_cores(0)


def test_overlapping_kernels_count_once():
    assert union_length([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0), (5.2, 5.4)]) == 4.0
