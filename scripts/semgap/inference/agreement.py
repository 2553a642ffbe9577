"""Whether the stored model computes what transformers computes from where it was stored from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from semgap.engine import load_engine
from semgap.errors import ModelError, not_a_number
from semgap.model.causal_lm import run_pass
from semgap.model.manifest import Agreement
from semgap.model.skeleton import ModelSkeleton
from semgap.model.sources import load_pretrained
from semgap.model.weights import CONFIG_FILE, map_safetensors
from semgap.state import KvCache

# Of the largest logit, in units of the dtype's precision: operators round differently where a
# tensor is aligned differently. Another weight or mask changes far more.
_TOLERANCE_EPSILONS = 32
# A GPU has room for so many times the weights: an engine's copies here and the worker's.
_ROOM = 5


@dataclass(frozen=True)
class Compared:
    """What was compared, and the logits of transformers' passes."""

    agreement: Agreement
    logits: np.ndarray  # float32, of the last position of each pass, shape (steps, vocabulary)


def compare_with_transformers(
    stored: Path,
    source: Path,
    engine: str,
    dtype: str,
    remedy: str,
    prompt: Sequence[int],
    decode_steps: int,
) -> Compared:
    """Compare an engine's prefill and decode steps of the stored model with transformers' own.

    One after the other, in the experiment's dtype, on the same tokens: those that transformers
    chooses. They run on a GPU that has room, since 6 B parameters take a CPU minutes.

    Args:
        stored: folder of the stored weights.
        source: folder that they were read from; ``stored`` itself if they were seeded.
        engine: name of the engine that runs the stored model.
        remedy: what to do about a source that cannot be read.
        prompt: token ids.

    Raises:
        ModelError: logits are NaN, or differ by more than rounding.
    """
    files = sorted(stored.glob("*.safetensors"))
    device = _roomy_device(sum(file.stat().st_size for file in files))
    judged = list(_judged(load_pretrained(source, dtype, remedy), device, prompt, decode_steps))
    skeleton = ModelSkeleton(
        (stored / CONFIG_FILE).read_text(encoding="utf-8"), getattr(torch, dtype), device
    )
    weights = {name: tensor.to(device) for path in files for name, tensor in map_safetensors(path)}
    built = load_engine(engine).build_engine(skeleton)
    built.bind(list(weights), list(weights.values()))
    kv_cache = KvCache()
    difference = largest = 0.0
    for step, (tokens, expected) in enumerate(judged):
        found, kv_cache = built.forward(tokens, kv_cache, 1)
        # What comes back from a worker is a copy.
        kv_cache = kv_cache.copied()
        largest = max(largest, float(expected.abs().max()))
        difference = max(difference, float((found.float() - expected.float()).abs().max()))
        tolerance = _TOLERANCE_EPSILONS * torch.finfo(expected.dtype).eps * largest
        if not difference <= tolerance:
            raise _disagreement(source, expected, found, step)
    token_ids = tuple(int(expected[0, -1].argmax()) for _tokens, expected in judged)
    agreement = Agreement(engine, dtype, token_ids, difference, largest, tolerance)
    logits = [expected[0, -1].float().cpu().numpy() for _tokens, expected in judged]
    return Compared(agreement, np.stack(logits))


def _roomy_device(weights_bytes: int) -> torch.device:
    if torch.cuda.is_available():
        free_bytes, _all_bytes = torch.cuda.mem_get_info()
        if free_bytes >= _ROOM * weights_bytes:
            return torch.device("cuda")
    return torch.device("cpu")


def _judged(
    reference: PreTrainedModel, device: torch.device, prompt: Sequence[int], decode_steps: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The tokens of each pass with the logits of its last position."""
    nn.Module.to(reference, device)
    tokens, cache = torch.tensor([list(prompt)], device=device), None
    for _step in range(1 + decode_steps):
        expected, cache = run_pass(reference, tokens, cache, 1)
        if expected.isnan().any():
            raise not_a_number(str(expected.dtype).removeprefix("torch."))
        yield tokens, expected
        tokens = expected[:, -1:].argmax(-1)


def _disagreement(source: Path, expected: Tensor, found: Tensor, step: int) -> ModelError:
    return ModelError(
        f"With the model of '{source}', {'the prefill' if step == 0 else f'decode step {step}'} "
        f"gives token {int(found[0, -1].argmax())} here and {int(expected[0, -1].argmax())} in "
        f"transformers; the largest logit differs by {float((found - expected).abs().max()):.3g}. "
        "The model is more than its config.json says, or keeps state outside its cache.",
        "Make config.json say what the weight files hold (for instance tie_word_embeddings: false "
        "for a head of its own), or choose another model.",
    )
