"""A worker in another network, as behind a link with a rate of its own."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec
import pytest

from forks import FORKS
from judges import needs
from networks import joined_network, needs_a_network
from running_server import server_at
from semgap.analysis.evidence import Run
from semgap.analysis.gates.consistency import check_consistency
from semgap.analysis.gates.counting import check_counts
from semgap.analysis.gates.timing import check_exchanges
from semgap.analysis.numbers.counts import count_rows
from semgap.analysis.numbers.prediction import predict
from semgap.analysis.numbers.second_clock import exchanges_of
from semgap.analysis.numbers.traffic import traffic_of_run, turns_of_run
from semgap.inference.worker_settings import WorkerSettings
from semgap.measurement.job import run_benchmark
from semgap.measurement.job_settings import BenchmarkSettings, CaptureSettings, WorkloadSettings
from semgap.model.prompt import seeded_prompt
from semgap.model.weights import map_weights
from semgap.modes import policy_of

SETTINGS = BenchmarkSettings(
    experiment="link",
    repeat=1,
    workload=WorkloadSettings(decode_steps=2, rehearsals_at_most=1),
    worker=WorkerSettings(compute_threads=1),
    capture=CaptureSettings(use="required", interface="any"),
)


@pytest.fixture(scope="module")
def link():
    with joined_network() as joined:
        yield joined


def measured(mode, settings, capture_file, endpoint_file, folder, manifest):
    """One run, in a process of its own."""
    prompt = seeded_prompt(manifest, 8, settings.workload.decode_steps, 0)
    weights = map_weights(folder, manifest)
    record, _logits = run_benchmark(
        policy_of(mode), settings, "c", capture_file, endpoint_file, manifest, prompt, weights
    )
    return record


def run_over(link, transport, mode, folder, manifest, tmp_path, *before_server):
    """A run whose server is in the other network, behind a command, and its capture."""
    here = msgspec.structs.replace(SETTINGS.capture, interface_address=link.near)
    settings = msgspec.structs.replace(SETTINGS, capture=here)
    file = tmp_path / "run.pcap"
    with (
        server_at(link, tmp_path, transport, settings.worker, *before_server) as endpoint,
        ProcessPoolExecutor(1, FORKS) as pool,
    ):
        run = pool.submit(measured, mode, settings, file, endpoint, folder, manifest)
        return run.result(), file


@needs("tcpdump")
@needs_a_network
@pytest.mark.parametrize(
    "transport", ["torch_rpc", pytest.param("tcp", marks=pytest.mark.thorough)]
)
def test_a_run_crosses_the_link_to_the_byte(link, transport, gptj, tmp_path):
    folder, manifest = gptj
    record, file = run_over(link, transport, "remote_cache", folder, manifest, tmp_path)
    assert record.clocks is None
    traffic = traffic_of_run(record, file)
    check_counts(count_rows(record, predict(record, manifest), traffic), tmp_path)
    decode_bytes = sum(row.payload_bytes for row in traffic if row.phase == "decode")
    assert decode_bytes > manifest.kv_cache_bytes(8) * 4
    # Nothing went another way: the session's connections have their ends in the two networks.
    ends = {(pair.local_ip, pair.remote_ip) for pair in record.worker_sockets}
    assert (link.far, link.near) in ends
    assert {ip for pair in ends for ip in pair} == {link.far, link.near}


@needs("tcpdump")
@needs_a_network
@pytest.mark.skipif(not Path("/proc/self/ns/time").exists(), reason="no time namespaces here")
@pytest.mark.parametrize("transport", ["tcp", "torch_rpc"])
def test_a_worker_may_have_a_clock_of_its_own(link, transport, gptj, tmp_path):
    """It is ahead by a day: spans are what they are with one clock, within what is said of them."""
    folder, manifest = gptj
    # What it forks, workers above all, has the other clock.
    ahead = ("unshare", "--time", "--monotonic", "86400")
    record, file = run_over(link, transport, "semantic", folder, manifest, tmp_path, *ahead)
    assert record.clocks is not None
    assert record.clocks.offset_ns == pytest.approx(86400e9, abs=10e6)
    # One clock after all, read in two namespaces.
    assert abs(record.clocks.drifted_s(record.phases[-1].end_ns)) <= 2 * record.clock_bound_s
    for step in (step for phase in record.phases for step in phase.steps):
        assert min(step.spans_s.values()) >= -record.clock_bound_s - 1e-6
        assert sum(step.spans_s.values()) == pytest.approx(step.latency_s)
    run = Run(record, file, traffic_of_run(record, file), turns_of_run(record, file))
    check_consistency([run])
    check_exchanges(run, exchanges_of(run.turns))
