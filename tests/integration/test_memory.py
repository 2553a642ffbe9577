"""Neither side of a session holds a second copy of the weights, over either transport."""

import re
from pathlib import Path

import pytest
import torch

from forks import FORKS
from patience import PATIENCE_S
from semgap.inference.client import InferenceClient
from semgap.inference.worker import Worker
from semgap.model.device import CpuDevice
from semgap.model.manifest import Manifest
from semgap.model.weights import map_weights
from semgap.modes import policy_of
from semgap.placements import Held
from semgap.plumbing.tcp_sockets import free_port
from semgap.transport import Timeouts, load_transport
from small_models import store_model

TIMEOUTS = Timeouts(connect_s=60.0, step_s=60.0)

ONE_GIGABYTE = {
    "model_type": "gptj",
    "n_layer": 12,
    "n_embd": 1024,
    "n_head": 16,
    "rotary_dim": 64,
    "n_positions": 128,
    "vocab_size": 50400,
}
CLIENT_ALLOWANCE_BYTES = 100e6
WORKER_ALLOWANCE_BYTES = 300e6


def resident_bytes(field):
    """``VmRSS``, or the peak since it was reset as ``VmHWM``; file pages that are mapped count."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (kilobytes,) = re.findall(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kilobytes) * 1024


def reset_peak():
    """Let the peak begin anew (proc(5)); returns what is resident now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return resident_bytes("VmRSS")


def serve(transport, port, ready, peaks):
    # What a worker imports to build its model belongs to its imports, not to its session.
    import transformers.models.gptj.modeling_gptj  # noqa: F401

    before_bytes = reset_peak()
    handler = Worker(CpuDevice())
    load_transport(transport).serve("127.0.0.1", port, handler, TIMEOUTS, ready.set)
    peaks.put(("worker", resident_bytes("VmHWM") - before_bytes))


def infer(transport, port, mode, folder, manifest: Manifest, peaks):
    torch.set_num_threads(1)
    module = load_transport(transport)
    before_bytes = reset_peak()
    channel = module.connect("127.0.0.1", port, TIMEOUTS)
    client = InferenceClient(channel, policy_of(mode), manifest, map_weights(folder, manifest))
    client.configure("eager")
    client.setup()
    tokens, kv_cache = torch.arange(32)[None], Held()
    for _ in range(3):
        logits, kv_cache, _ = client.forward(tokens, kv_cache, 1)
        tokens = logits[:, -1:].argmax(-1)
    peaks.put(("client", resident_bytes("VmHWM") - before_bytes))
    channel.close()


@pytest.fixture(scope="module")
def one_gigabyte(tmp_path_factory):
    """A model with 1 GB of weights: their folder and the manifest."""
    return store_model(ONE_GIGABYTE, tmp_path_factory.mktemp("gigabyte"))


@pytest.mark.parametrize("mode", ["remote_cache", "semantic"])
@pytest.mark.parametrize("transport", ["torch_rpc", "tcp"])
def test_weights_are_held_once_on_each_side(one_gigabyte, transport, mode):
    folder, manifest = one_gigabyte
    weight_bytes = sum(file.size_bytes for file in manifest.files)
    assert weight_bytes > 1e9
    port, ready, peaks = free_port("127.0.0.1"), FORKS.Event(), FORKS.Queue()
    worker = FORKS.Process(target=serve, args=(transport, port, ready, peaks), daemon=True)
    client = FORKS.Process(
        target=infer, args=(transport, port, mode, folder, manifest, peaks), daemon=True
    )
    worker.start()
    assert ready.wait(60)
    client.start()
    peak_bytes = dict(peaks.get(timeout=PATIENCE_S) for _ in range(2))
    client.join(30)
    worker.join(30)
    # All of the weights passed through both: less would mean that the measurement sees nothing.
    assert peak_bytes["client"] > 0.9 * weight_bytes
    assert peak_bytes["worker"] > 0.9 * weight_bytes
    assert peak_bytes["client"] < weight_bytes + CLIENT_ALLOWANCE_BYTES
    assert peak_bytes["worker"] < weight_bytes + WORKER_ALLOWANCE_BYTES
