"""rgpu, a PyTorch device on a server, as a system: it speaks the line protocol of docs/systems.md.

python system.py            each operator is sent
python system.py graph      what can be traced is sent once, as a graph
"""

import json
import os
import sys

import torch
from transformers import AutoModelForCausalLM

LOGITS = []


class Generation:
    model = cache = None


def setup(model, host, port, **_):
    os.environ["RGPU_OPSERVER"] = f"{host}:{port}"
    import rgpu

    torch.set_num_threads(1)
    Generation.model = AutoModelForCausalLM.from_pretrained(model).eval().to("rgpu")
    if "graph" in sys.argv:
        Generation.model = torch.compile(Generation.model, backend=rgpu.compile_backend)
    torch.rgpu.synchronize()
    return {}


@torch.inference_mode()
def step(tokens, begin):
    if begin:
        LOGITS.clear()
        Generation.cache = None
    output = Generation.model(
        torch.tensor([tokens]).to("rgpu"),
        past_key_values=Generation.cache,
        use_cache=True,
        logits_to_keep=1,
    )
    Generation.cache = output.past_key_values
    LOGITS.append(output.logits[0, -1].cpu())
    return {"token": int(LOGITS[-1].argmax())}


ANSWERS = {
    "describe": lambda **_: {"name": "rgpu", "protocol": 1},
    "setup": setup,
    "prefill": lambda tokens: step(tokens, begin=True),
    "decode": lambda token: step([token], begin=False),
    "logits": lambda: {"logits": [row.tolist() for row in LOGITS]},
    "close": dict,
}


for line in sys.stdin:
    request = json.loads(line)
    asked = request.pop("do")
    print(json.dumps(ANSWERS[asked](**request)), flush=True)
    if asked == "close":
        os._exit(0)
