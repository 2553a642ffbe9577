"""Modes that encode, over a real connection: what the wire carries is what a replay says."""

import msgspec
import pytest

from judges import needs
from replayed_encoding import Replay
from running_server import running_server
from semgap.analysis.gates.counting import check_content, check_counts
from semgap.analysis.numbers.counts import count_rows
from semgap.analysis.numbers.prediction import predict
from semgap.analysis.numbers.traffic import traffic_of_run
from semgap.encodings import encoded_channel
from semgap.errors import MeasurementError
from semgap.inference.worker_settings import WorkerSettings
from semgap.measurement.job import run_benchmark
from semgap.measurement.job_settings import BenchmarkSettings, CaptureSettings, WorkloadSettings
from semgap.model.prompt import seeded_prompt
from semgap.model.weights import map_weights
from semgap.modes import policy_of
from semgap.protocol import Ping
from small_models import store_small_model

SETTINGS = BenchmarkSettings(
    experiment="encodings",
    repeat=1,
    workload=WorkloadSettings(decode_steps=3, rehearsals_at_most=2),
    worker=WorkerSettings(compute_threads=1),
    capture=CaptureSettings(use="required"),
)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return store_small_model("gptj", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def endpoint_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with running_server(folder, "tcp", SETTINGS.worker, client_poll_s=0.001) as file:
        yield file


def measured(mode, stored, endpoint_file, capture):
    folder, manifest = stored
    prompt = seeded_prompt(manifest, 8, 3, 0)
    weights = map_weights(folder, manifest)
    record, logits = run_benchmark(
        policy_of(mode), SETTINGS, "c", capture, endpoint_file, manifest, prompt, weights
    )
    traffic = traffic_of_run(record, capture)
    return record, logits, count_rows(record, predict(record, manifest), traffic)


class Recording:
    """A client's channel that notes what was sent and what came, before any encoding."""

    def __init__(self, channel):
        self.messages = []
        self._channel = channel

    def request(self, message):
        reply = self._channel.request(message)
        if not isinstance(message.header, Ping):
            groups = [
                [[tensor.clone() for tensor in group] for group in tensors.values()]
                for tensors in (message.tensors, reply.tensors)
            ]
            self.messages.append((*groups, reply.encoded))
        return reply

    def close(self):
        self._channel.close()


@needs("tcpdump")
def test_bytes_are_those_of_a_replay_of_the_recorded_tensors(
    stored, endpoint_file, tmp_path, monkeypatch
):
    channels = []

    def recorded(channel, name):
        channels.append(Recording(encoded_channel(channel, name)))
        return channels[-1]

    monkeypatch.setattr("semgap.session.server.encoded_channel", recorded)
    record, _, rows = measured("content_addressed", stored, endpoint_file, tmp_path / "a.pcap")
    check_counts(rows, tmp_path)
    check_content(record, rows, tmp_path)
    ((messages,), replay) = ([channel.messages for channel in channels], Replay())
    for sent, came, encoded in messages:
        assert sum(replay.crossed_bytes(sent)) == encoded.up_bytes
        assert sum(replay.crossed_bytes(came)) == encoded.down_bytes
    assert record.client_poll_s == 0.001
    said = [step.encoded for phase in record.phases for step in phase.steps]
    assert len(said) == 4
    assert said == [encoded for *_, encoded in messages if encoded in said]
    # What the rehearsals computed is of other prompts: a key and a value of each position are new.
    prefill = record.phases[1].steps[0]
    assert prefill.encoded.down_bytes > prefill.total_down_bytes
    assert prefill.encoded.up_bytes < 0.05 * prefill.total_up_bytes


@needs("tcpdump")
@pytest.mark.parametrize("mode", ["content_addressed", "compressed", "fp8"])
def test_refused_bytes_that_no_encoding_made(mode, stored, endpoint_file, tmp_path):
    _, logits, rows = measured(mode, stored, endpoint_file, tmp_path / "a.pcap")
    _, expected, _ = measured("naive", stored, endpoint_file, tmp_path / "b.pcap")
    assert abs(logits - expected).max() <= policy_of(mode).logit_tolerance
    check_counts(rows, tmp_path)
    for row in rows:
        if row.phase == "decode":
            more = msgspec.structs.replace(row, encoded_bytes=row.encoded_bytes + 10_000)
            with pytest.raises(MeasurementError, match="the odd one out is the prediction"):
                check_counts([more], tmp_path)
