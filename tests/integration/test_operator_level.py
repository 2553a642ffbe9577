"""The operator level over a real connection: what is on the wire is what was dispatched."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from judges import needs
from running_server import running_server
from semgap.analysis.evidence import Run
from semgap.analysis.gates.consistency import check_consistency
from semgap.analysis.gates.counting import check_content, check_counts
from semgap.analysis.gates.timing import check_exchanges
from semgap.analysis.numbers.counts import count_rows
from semgap.analysis.numbers.prediction import predict
from semgap.analysis.numbers.second_clock import exchanges_in, exchanges_of
from semgap.analysis.numbers.traffic import traffic_of_run, turns_of_run
from semgap.errors import RemoteError
from semgap.execution import GenerationLimits, load_executor
from semgap.inference.client import InferenceClient
from semgap.inference.worker_settings import WorkerSettings
from semgap.measurement.job import run_benchmark
from semgap.measurement.job_settings import BenchmarkSettings, CaptureSettings, WorkloadSettings
from semgap.model.causal_lm import run_pass
from semgap.model.prompt import seeded_prompt
from semgap.model.skeleton import ModelSkeleton
from semgap.model.weights import map_weights
from semgap.modes import policy_of
from semgap.protocol import Operate
from semgap.session.server import open_session
from small_models import store_small_model

META = torch.device("meta")
PROMPT_TOKENS, DECODE_STEPS = 8, 3
SETTINGS = BenchmarkSettings(
    experiment="operators",
    repeat=1,
    workload=WorkloadSettings(decode_steps=DECODE_STEPS, rehearsals_at_most=2),
    worker=WorkerSettings(compute_threads=1),
    capture=CaptureSettings(use="required"),
)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return store_small_model("gptj", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def endpoint_file(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("server"), "tcp", SETTINGS.worker) as file:
        yield file


class Counting(TorchDispatchMode):
    """Counts what is dispatched."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


def dispatched(manifest):
    """Operators of the prefill and of each decode step."""
    module = ModelSkeleton(manifest.model_config, torch.float32, META).module
    cache, counts = None, []
    for tokens in (PROMPT_TOKENS, *[1] * DECODE_STEPS):
        with Counting() as counting:
            ids = torch.empty((1, tokens), dtype=torch.int64, device=META)
            counting.count = 0
            _logits, cache = run_pass(module, ids, cache, 1)
        counts.append(counting.count)
    return counts


def measured(mode, stored, endpoint_file, folder):
    folder.mkdir()
    weights, manifest = map_weights(*stored), stored[1]
    prompt = seeded_prompt(manifest, PROMPT_TOKENS, DECODE_STEPS, 0)
    capture = folder / "a.pcap"
    record, logits = run_benchmark(
        policy_of(mode), SETTINGS, "c", capture, endpoint_file, manifest, prompt, weights
    )
    traffic = traffic_of_run(record, capture)
    run = Run(record, folder / "rep1.json", traffic, turns_of_run(record, capture))
    rows = count_rows(record, predict(record, manifest), traffic)
    check_counts(rows, folder)
    check_content(record, rows, folder)
    check_exchanges(run, exchanges_of(run.turns))
    check_consistency([run])
    return run, logits


@needs("tcpdump")
def test_round_trips_are_the_operators_that_were_dispatched(stored, endpoint_file, tmp_path):
    run, logits = measured("op_sync", stored, endpoint_file, tmp_path / "sync")
    posted, same = measured("op_pipelined", stored, endpoint_file, tmp_path / "pipelined")
    replayed, near = measured("op_graph", stored, endpoint_file, tmp_path / "graph")
    assert (logits == same).all()
    assert abs(logits - near).max() < 1e-5
    steps = [step for phase in run.record.phases[1:] for step in phase.steps]
    # Beside the operators, the token goes up and the logits come down; two of the first step make
    # each layer's empty cache.
    counts = dispatched(stored[1])
    assert [step.requests - 2 for step in steps[1:]] == counts[1:]
    assert steps[0].requests - 2 >= counts[0]
    for one, requests in ((run, sum(counts[1:]) + 2 * DECODE_STEPS), (replayed, DECODE_STEPS)):
        decode = one.record.phases[-1]
        window = decode.begin_unix_ns, decode.end_unix_ns
        assert len(exchanges_in(*window, exchanges_of(one.turns))) == requests
    for one, other in zip(posted.record.phases[-1].steps, steps[1:], strict=True):
        assert (one.requests, one.round_trips, other.round_trips) == (
            *(other.requests, 2),
            other.requests,
        )
        assert 0 < one.compute_s < one.latency_s


def test_an_operator_that_fails_is_told_at_the_next_wait(stored, endpoint_file):
    folder, manifest = stored
    policy = policy_of("op_pipelined")
    with open_session(WorkerSettings(), endpoint_file) as session:
        client = InferenceClient(session.channel, policy, manifest, map_weights(folder, manifest))
        client.configure("eager")
        limits = GenerationLimits(manifest.vocabulary_size, logits_to_keep=1, max_steps=4)
        executor = load_executor(policy.executor).open_executor(client, limits)
        executor.setup()
        # More than are sent before a reply is looked at.
        for handle in range(300):
            client.post(Operate("aten.full.default", [[2], 1.0], {}, (10_000 + handle,), ()))
        client.post(Operate("aten.mm.default", [{"t": 10_000}, {"t": 10_001}], {}, (), ()))
        with pytest.raises(RemoteError, match="must be a matrix"):
            executor.step(torch.tensor([[1, 2]]))
        executor.reset()
        token_id, record = executor.step(torch.tensor([[1, 2]]))
        assert record.requests > 100
        assert token_id in range(manifest.vocabulary_size)
