"""A system as one writes it by hand: the model behind torch.distributed.rpc, in one file.

python system.py serve HOST PORT     the worker
python system.py                     the program that speaks the line protocol (docs/systems.md)
"""

import json
import os
import socket
import sys

import psutil
import torch
from torch.distributed import rpc
from transformers import AutoModelForCausalLM

LOGITS = []


class Worker:
    """What the worker keeps."""

    model = cache = None


def load(folder, device, threads):
    """On the worker: build the model."""
    torch.set_num_threads(threads)
    Worker.model = AutoModelForCausalLM.from_pretrained(folder).to(device).eval()


def put(name, tensor):
    """On the worker: replace a weight by what came over the network."""
    Worker.model.state_dict(keep_vars=True)[name].data.copy_(tensor)


@torch.inference_mode()
def forward(tokens, begin):
    """On the worker: extend the generation, whose KV cache stays here."""
    ids, cache = tokens.to(Worker.model.device), None if begin else Worker.cache
    output = Worker.model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    Worker.cache = output.past_key_values
    return output.logits[0, -1].cpu()


def join(name, host, port):
    """Let both processes find each other; RPC listens at the interface that leads to ``host``."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))
        here = probe.getsockname()[0]
    interfaces = psutil.net_if_addrs().items()
    interface = next(name for name, of in interfaces if here in (one.address for one in of))
    os.environ.update(TP_SOCKET_IFNAME=interface, GLOO_SOCKET_IFNAME=interface)
    options = rpc.TensorPipeRpcBackendOptions(
        init_method=f"tcp://{host}:{port}", rpc_timeout=600, _transports=["uv"], _channels=["basic"]
    )
    rank = ["worker", "client"].index(name)
    rpc.init_rpc(name, rank=rank, world_size=2, rpc_backend_options=options)


def setup(model, host, port, device, threads, **_):
    torch.set_num_threads(1)
    join("client", host, port)
    rpc.rpc_sync("worker", load, (model, device, threads))
    weights = AutoModelForCausalLM.from_pretrained(model).named_parameters()
    for name, tensor in weights:
        rpc.rpc_sync("worker", put, (name, tensor.detach()))
    return {}


def step(tokens, begin):
    if begin:
        LOGITS.clear()
    LOGITS.append(rpc.rpc_sync("worker", forward, (torch.tensor([tokens]), begin)))
    return {"token": int(LOGITS[-1].argmax())}


ANSWERS = {
    "describe": lambda **_: {"name": f"PyTorch RPC {torch.__version__}", "protocol": 1},
    "setup": setup,
    "prefill": lambda tokens: step(tokens, begin=True),
    "decode": lambda token: step([token], begin=False),
    "logits": lambda: {"logits": [row.tolist() for row in LOGITS]},
    "close": dict,
}


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        join("worker", *sys.argv[2:])
        rpc.shutdown()
    for line in sys.stdin:
        request = json.loads(line)
        asked = request.pop("do")
        print(json.dumps(ANSWERS[asked](**request)), flush=True)
        if asked == "close":
            # Whoever started the worker ends it.
            os._exit(0)
