"""Model families over a real connection: what the kernel carries is what the formula says."""

import pytest

from judges import needs
from running_server import running_server
from semgap.analysis.gates.counting import check_counts
from semgap.analysis.numbers.counts import count_rows
from semgap.analysis.numbers.prediction import predict
from semgap.analysis.numbers.traffic import traffic_of_run
from semgap.inference.worker_settings import WorkerSettings
from semgap.measurement.job import run_benchmark
from semgap.measurement.job_settings import BenchmarkSettings, CaptureSettings, WorkloadSettings
from semgap.model.prompt import seeded_prompt
from semgap.model.weights import map_weights
from semgap.modes import policy_of
from small_models import store_small_model

FAMILIES = (
    "mistral-window",
    *(
        # The workflow's tests capture a model of grown keys and values too.
        pytest.param(name, marks=pytest.mark.thorough)
        for name in ("mixtral-experts", "bloom-alibi", "gptj", "gpt2-tied", "llama-grouped-query")
    ),
)
MODES = ("local", "naive", "remote_cache", "semantic", "token_only")
PROMPT_TOKENS, DECODE_STEPS = 8, 3
SETTINGS = BenchmarkSettings(
    experiment="families",
    repeat=1,
    workload=WorkloadSettings(decode_steps=DECODE_STEPS, rehearsals_at_most=1),
    worker=WorkerSettings(compute_threads=1),
    capture=CaptureSettings(use="required"),
)
TOKEN_BYTES = 8
# A message's header, and the length of each tensor's description.
FRAMING_BYTES = 600


@pytest.fixture(scope="module")
def endpoint_file(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("server"), "tcp", SETTINGS.worker) as file:
        yield file


def formula(manifest, policy, before, tokens):
    """Bytes up and down of a step over ``tokens`` new positions after ``before`` of them."""
    if policy.mode == "local":
        return 0, 0
    up = tokens * TOKEN_BYTES
    down = 0 if policy.logits == "resident" else manifest.logits_bytes_per_position
    if policy.weights == "inline":
        up += manifest.weights_bytes
    if policy.kv_cache == "inline":
        up += manifest.kv_cache_bytes(before) if before else 0
        down += manifest.kv_cache_bytes(before + tokens)
    return up, down


@needs("tcpdump")
@pytest.mark.parametrize("family", FAMILIES)
def test_bytes_are_those_of_the_formula(family, endpoint_file, tmp_path):
    folder, manifest = store_small_model(family, tmp_path)
    prompt = seeded_prompt(manifest, PROMPT_TOKENS, DECODE_STEPS, 0)
    weights = map_weights(folder, manifest)
    decode_steps = [(PROMPT_TOKENS + step, 1) for step in range(DECODE_STEPS)]
    answers = set()
    for mode in MODES:
        policy, capture = policy_of(mode), tmp_path / f"{mode}.pcap"
        record, _logits = run_benchmark(
            policy, SETTINGS, "c", capture, endpoint_file, manifest, prompt, weights
        )
        answers.add(record.token_ids)
        traffic = traffic_of_run(record, capture)
        check_counts(count_rows(record, predict(record, manifest), traffic), tmp_path)
        captured = {(row.phase, row.direction): row.payload_bytes for row in traffic}
        for phase, steps in (("prefill", [(0, PROMPT_TOKENS)]), ("decode", decode_steps)):
            expected = [formula(manifest, policy, *step) for step in steps]
            for direction, each in zip(("up", "down"), zip(*expected, strict=True), strict=True):
                beside = captured[phase, direction] - sum(each)
                assert 0 <= beside <= FRAMING_BYTES * len(steps) * any(map(sum, expected)), (
                    mode,
                    phase,
                )
    assert len(answers) == 1
