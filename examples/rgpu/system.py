"""rgpu, a PyTorch device on a server, as a system: it speaks the line protocol of docs/systems.md.

python system.py            each operator is sent
python system.py graph      a pass is traced, sent once and compiled there, then called by name
"""

import json
import os
import sys
from importlib.metadata import version

import torch
from transformers import AutoModelForCausalLM, StaticCache

LOGITS = []


class Operators:
    """A pass as transformers runs it."""

    def __init__(self, model, _positions):
        self.model, self.cache = model, None

    def begin(self):
        self.cache = None

    def forward(self, tokens):
        output = self.model(tokens, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        self.cache = output.past_key_values
        return output.logits


class Graphs(Operators):
    """A pass whose shapes do not grow, so that one graph serves all decode steps."""

    def __init__(self, model, positions):
        config = model.config
        self.positions, self.used = positions, 0
        self.cache = StaticCache(config=config, max_cache_len=positions)
        heads = config.num_key_value_heads
        self.cache.early_initialization(1, heads, config.head_dim, model.dtype, model.device)
        self.compiled = torch.compile(model.forward, backend="rgpu", dynamic=False)

    def begin(self):
        self.cache.reset()
        self.used = 0

    def forward(self, tokens):
        at = torch.arange(self.used, self.used + tokens.shape[1])
        self.used += tokens.shape[1]
        seen = torch.arange(self.positions) <= at[:, None]
        mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)[None, None]
        return self.compiled(
            tokens,
            past_key_values=self.cache,
            attention_mask=mask.to("rgpu"),
            position_ids=at[None].to("rgpu"),
            use_cache=True,
            logits_to_keep=1,
        ).logits


def setup(model, host, port, positions, **_):
    global RUNNING
    os.environ["RGPU_OPSERVER"] = f"{host}:{port}"
    import rgpu  # noqa: F401  makes the device

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(model).eval().to("rgpu")
    RUNNING = (Graphs if "graph" in sys.argv else Operators)(model, positions)
    torch.rgpu.synchronize()
    return {}


@torch.no_grad()
def step(tokens):
    LOGITS.append(RUNNING.forward(torch.tensor([tokens]).to("rgpu"))[0, -1].cpu())
    return {"token": int(LOGITS[-1].argmax())}


def prefill(tokens):
    RUNNING.begin()
    LOGITS.clear()
    return step(tokens)


ANSWERS = {
    "describe": lambda **_: {
        "name": f"rgpu {version('rgpu')}, torch {version('torch')}",
        "protocol": 1,
    },
    "setup": setup,
    "prefill": prefill,
    "decode": lambda token: step([token]),
    "logits": lambda: {"logits": [row.tolist() for row in LOGITS]},
    "close": dict,
}


for line in sys.stdin:
    request = json.loads(line)
    asked = request.pop("do")
    print(json.dumps(ANSWERS[asked](**request)), flush=True)
    if asked == "close":
        os._exit(0)
