"""What only a GPU shows: its meters read something, and every mode computes on it as locally."""

import itertools
import json
import time
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from msgspec import structs

from forks import FORKS
from judges import needs, needs_gpu
from running_server import running_server
from semgap.engine import load_engine
from semgap.execution import GenerationLimits, generate
from semgap.execution.forward_pass import open_executor
from semgap.inference.client import InferenceClient
from semgap.inference.worker import Worker
from semgap.inference.worker_settings import WorkerSettings
from semgap.measurement.job import run_benchmark
from semgap.measurement.job_settings import BenchmarkSettings, CaptureSettings, WorkloadSettings
from semgap.meters import Host, RunningMeters, Span, meters_of
from semgap.model.device import open_device
from semgap.model.prompt import seeded_prompt
from semgap.model.skeleton import ModelSkeleton
from semgap.model.sources import seeded_weight
from semgap.model.weights import map_weights
from semgap.modes import POLICIES, policy_of
from semgap.pipeline.config import POSTING
from semgap.plumbing.files import read_record
from semgap.plumbing.nvml import opened_gpu
from semgap.server.endpoint import ServerEndpoint
from semgap.session.in_process import InProcessChannel
from semgap.state import KvCache
from small_models import ARCHITECTURES, store_model

pytestmark = needs_gpu

WORKER = WorkerSettings(device="cuda", compute_threads=1)
SETTINGS = BenchmarkSettings(
    experiment="gpu",
    repeat=1,
    # Just long enough for a line of dmon that speaks of the phase alone.
    workload=WorkloadSettings(decode_steps=3, rehearsals_at_most=1, back_to_back_s=2.2),
    worker=WORKER,
    capture=CaptureSettings(use="off"),
)


@pytest.fixture(scope="module")
def device():
    return open_device("cuda")


def keep_busy(device, seconds):
    matrix = torch.randn(4096, 4096, device=device.torch_device)
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        for _ in range(20):
            matrix @ matrix
        torch.cuda.synchronize()


def test_every_meter_of_a_busy_gpu_reads(device):
    names = [name for span in Span for name in meters_of(Host.WORKER, span, has_gpu=True)]
    meters = RunningMeters(names, device.gpu_uuid)
    keep_busy(device, 4)
    read = {name: value for one in meters.stop().values() for name, value in one.items()}
    assert read["gpu_kernel_busy_s"] > 3
    assert read["gpu_kernels"] > 100
    # Between an old GPU's and three times the fastest of today.
    assert 1e11 < read["gpu_memory_read_bytes_per_s"] < 25e12
    assert read["gpu_nvml_percent"] > 80
    assert read["gpu_dmon_percent"] > 80
    assert read["gpu_dmon_memory_mb"] > 64
    assert read["gpu_power_w"] > 60
    assert read["gpu_sm_clock_mhz"] > 200
    assert read["gpu_nvml_sm_clock_mhz"] > 200
    assert read["gpu_memory_peak_bytes"] >= 2 * 4096 * 4096 * 4


def test_an_idle_gpu_reads_idle(device):
    time.sleep(1)
    meters = RunningMeters(meters_of(Host.WORKER, Span.BACK_TO_BACK, True), device.gpu_uuid)
    time.sleep(4)
    read = {name: value for one in meters.stop().values() for name, value in one.items()}
    assert read["gpu_nvml_percent"] == read["gpu_dmon_percent"] == 0


def test_the_gpu_is_found_by_its_uuid(device):
    with opened_gpu(device.gpu_uuid) as gpu:
        assert gpu.sm_clock_mhz() > 200
        assert gpu.energy_j() > 0
        assert not gpu.partitioned()


def test_seeded_weights_are_those_of_the_cpu(device):
    shape = torch.Size((3000, 501))
    for dtype in (torch.float16, torch.float32):
        made = [
            seeded_weight("layer.weight", shape, dtype, 7, where)
            for where in (torch.device("cpu"), device.torch_device)
        ]
        assert torch.equal(made[0], made[1].cpu())


@pytest.fixture(scope="module", params=["tcp", "torch_rpc"])
def endpoint_file(request, tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("server"), request.param, WORKER) as file:
        yield file


@pytest.fixture(scope="module", params=["gptj", "llama-grouped-query", "gpt2-tied"])
def stored(request, tmp_path_factory):
    return store_model(ARCHITECTURES[request.param], tmp_path_factory.mktemp(request.param))


def passes(stored, engine_name, device, dtype):
    """Logits of a prefill and of steps over given tokens, from weights rounded to float16."""
    folder, manifest = stored
    skeleton = ModelSkeleton(manifest.model_config, dtype, device.torch_device)
    engine = load_engine(engine_name).build_engine(skeleton)
    names = [tensor.name for tensor in manifest.tensors]
    # None constant: seeded biases are zero.
    generator = torch.Generator().manual_seed(0)
    engine.bind(
        names,
        [
            (one + 0.02 * torch.randn(one.shape, generator=generator))
            .half()
            .to(device.torch_device, dtype)
            for one in map_weights(folder, manifest)
        ],
    )
    kv_cache, found = KvCache(), []
    for tokens in ([3, 1, 4, 1, 5, 9, 2, 6], *([token] for token in range(40))):
        ids = torch.tensor([tokens], device=device.torch_device)
        logits, kv_cache = engine.forward(ids, kv_cache, 1)
        found.append(logits[0, -1].double().cpu())
    return torch.stack(found)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float16, 2e-2)])
def test_a_graph_computes_what_the_eager_engine_does(device, stored, dtype, tolerance):
    eager, graph, again = (
        passes(stored, name, device, dtype) for name in ("eager", "graph", "graph")
    )
    assert torch.equal(graph, again)
    torch.testing.assert_close(graph, eager, rtol=0, atol=tolerance)


def test_in_half_precision_a_graph_is_no_farther_from_the_exact_answer(device, stored):
    exact = passes(stored, "eager", device, torch.float64)
    eager, graph = (
        passes(stored, name, device, torch.float16) - exact for name in ("eager", "graph")
    )
    assert graph.square().mean().sqrt() < 1.1 * eager.square().mean().sqrt()
    assert graph.abs().max() < 2e-3 * exact.abs().max()


@pytest.mark.parametrize(
    "policy",
    [one for one in POLICIES if one.executor == "forward_pass"],
    ids=lambda policy: policy.mode,
)
def test_every_mode_answers_as_local_with_graphs(device, gptj, policy):
    """In one process: tokens, logits and bytes; weights that come with each pass included."""
    folder, manifest = gptj
    answers = []
    for one in (policy_of("local"), policy):
        client = InferenceClient(
            InProcessChannel(Worker(device)), one, manifest, map_weights(folder, manifest)
        )
        client.configure("graph")
        client.setup()
        executor = open_executor(client, GenerationLimits(500, logits_to_keep=1, max_steps=9))
        for _ in range(2):
            executor.reset()
            steps = list(itertools.islice(generate(executor, [3, 1, 4, 1, 5]), 9))
        assert len(steps) == 9
        answers.append(executor.answer())
    assert (answers[0].logits == answers[1].logits).all()


def test_equal_passes_after_a_long_prompt_are_equal_in_every_bit(device):
    """Attention of GPT-J 6B's heads; a KV cache that was sent is as good as one that stayed."""
    shape = {"model_type": "gptj", "n_layer": 4, "n_embd": 4096, "n_head": 16, "vocab_size": 1000}
    skeleton = ModelSkeleton(json.dumps(shape), torch.float16, device.torch_device)
    engine = load_engine("graph").build_engine(skeleton)
    weights = {
        name: seeded_weight(name, like.shape, torch.float16, 7, device.torch_device)
        for name, like in skeleton.weights.items()
    }
    engine.bind(list(weights), list(weights.values()))
    found = []
    for sent in (False, True) * 4:
        kv_cache, logits = KvCache(), []
        for tokens in (range(600), *([token] for token in range(20))):
            ids = torch.tensor([list(tokens)], device=device.torch_device)
            of_step, kv_cache = engine.forward(ids, kv_cache, 1)
            kv_cache = kv_cache.copied() if sent else kv_cache
            logits.append(of_step[0, -1])
        found.append(torch.stack(logits))
    assert all(torch.equal(found[0], other) for other in found[1:])


def measured(policy, capture_file, endpoint_file, folder, manifest, settings=SETTINGS):
    prompt, weights = seeded_prompt(manifest, 8, 3, 0), map_weights(folder, manifest)
    return run_benchmark(
        policy, settings, "c", capture_file, endpoint_file, manifest, prompt, weights
    )


def test_phases_that_last_are_run_once_more_for_all_meters(gptj, tmp_path):
    workload = structs.replace(SETTINGS.workload, back_to_back_s=1e-6)
    settings = structs.replace(SETTINGS, workload=workload)
    with ProcessPoolExecutor(1, mp_context=FORKS) as process:
        arguments = policy_of("local"), tmp_path / "x.pcap", None, *gptj, settings
        record, _answer = process.submit(measured, *arguments).result()
    for phase in record.phases[1:]:
        assert phase.readings["back_to_back"]["back_to_back_runs"] == 1
        assert phase.readings["gpu_kernels"]["gpu_kernel_busy_s"] > 0
        assert phase.readings["gpu_memory_read"]["gpu_memory_read_bytes_per_s"] > 0


@needs("nvidia-smi")
@pytest.mark.timeout(300)
def test_every_mode_answers_as_local_and_reads_every_meter(endpoint_file, gptj, tmp_path):
    answers = {}
    transport = read_record(endpoint_file, ServerEndpoint).settings.transport
    left_out = POSTING if transport == "torch_rpc" else ()
    policies = [one for one in POLICIES if one.executor not in left_out]
    for policy in policies:
        # A process each, as benchmark jobs are.
        with ProcessPoolExecutor(1, mp_context=FORKS) as process:
            arguments = policy, tmp_path / "x.pcap", endpoint_file, *gptj
            record, answers[policy.mode] = process.submit(measured, *arguments).result()
        assert record.machine.gpu
        assert record.provenance.gpu.uuid.startswith("GPU-")
        for phase in record.phases[1:]:
            read = {name: value for one in phase.readings.values() for name, value in one.items()}
            for name in (
                *("gpu_kernel_busy_s", "gpu_nvml_percent", "gpu_power_w"),
                *("gpu_sm_clock_mhz", "gpu_memory_peak_bytes", "back_to_back_latency_s"),
            ):
                assert read[name] > 0, (policy.mode, phase.name, name)
            # Whole percents: operators of a small model, one by one, may be less than one.
            assert read["gpu_dmon_percent"] > 0 or policy.executor != "forward_pass"
    for policy in policies:
        difference = abs(answers[policy.mode] - answers["local"]).max()
        assert difference <= policy.logit_tolerance, policy.mode
