"""A static KV cache and, on a GPU, a CUDA graph per number of new positions.

An eager pass launches every operator from Python, and on a GPU waits for that. A graph is launched
once. It replays the same operators on the same memory, so all that a pass reads and writes has a
fixed place. On a CPU the memory is the same and the operators are called one by one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from semgap.engine import Engine
from semgap.engine.graph_parts import fused_gptj, fused_llama
from semgap.engine.graph_parts.static_memory import StaticKvCache, StaticMemory
from semgap.engine.graph_parts.static_pass import StaticPass, TransformersPass
from semgap.errors import ModelError
from semgap.model.skeleton import ModelSkeleton
from semgap.state import KvCache, make_unusable

# As they came, and where passes read them.
WEIGHT_COPIES = 2
COMPILES = True

# Attention reads all of the memory, so it is not much larger than what is in it.
_CAPACITY_STEP = 64
_WARM_UP_PASSES = 3


@dataclass
class _Captured:
    graph: torch.cuda.CUDAGraph
    tokens: Tensor
    positions: Tensor
    before: int  # the first of the positions, which a replay moves on
    logits: Tensor


def build_engine(skeleton: ModelSkeleton) -> Engine:
    return GraphEngine(skeleton, _pass_of(skeleton))


def _pass_of(skeleton: ModelSkeleton) -> StaticPass:
    if fused_gptj.fits(skeleton.config):
        return fused_gptj.FusedGptj(skeleton)
    if skeleton.device.type == "cuda" and fused_llama.fits(skeleton.config):
        return fused_llama.FusedLlama(skeleton)
    return TransformersPass(skeleton)


class GraphEngine(Engine):
    def __init__(self, skeleton: ModelSkeleton, static_pass: StaticPass) -> None:
        self._skeleton = skeleton
        self._pass = static_pass
        self._on_gpu = skeleton.device.type == "cuda"
        self._memories: dict[int, StaticMemory] = {}
        self._captured: dict[tuple[int, int, int], _Captured] = {}
        self._last: KvCache | None = None
        # Where weights lie that do not stay where they came.
        self._places = dict(static_pass.places)
        self._weights_stay = True
        self._bound_at: dict[str, int] = {}

    def bind(self, names: Sequence[str], tensors: Sequence[Tensor]) -> None:
        tensors = [self._placed(*one) for one in zip(names, tensors, strict=True)]
        places = {name: tensor.data_ptr() for name, tensor in zip(names, tensors, strict=True)}
        if any(self._bound_at.get(name) != place for name, place in places.items()):
            self._captured.clear()
        self._bound_at |= places
        self._skeleton.bind(names, tensors)

    def _placed(self, name: str, tensor: Tensor) -> Tensor:
        """A weight where passes read it: graphs read the same memory each time."""
        if name not in self._places:
            if self._weights_stay or not self._on_gpu:
                return tensor
            self._places[name] = torch.empty_like(tensor)
        place = self._places[name]
        # Another shape or dtype is for the skeleton to refuse.
        return place.copy_(tensor) if _alike(place, tensor) else tensor

    def release(self) -> None:
        self._skeleton.release()
        self._weights_stay = False
        for place in self._places.values():
            make_unusable(place)

    def forward(
        self, tokens: Tensor, kv_cache: KvCache, logits_to_keep: int
    ) -> tuple[Tensor, KvCache]:
        self._skeleton.check_complete()
        if isinstance(kv_cache, StaticKvCache) and kv_cache is not self._last:
            raise ModelError(
                "A pass continues from a KV cache whose memory another pass has used since.",
                "Continue from what the last pass led to, or from a copy.",
            )
        before, new = kv_cache.length, tokens.shape[1]
        capacity = -(-(before + new) // _CAPACITY_STEP) * _CAPACITY_STEP
        if capacity not in self._memories:
            self._memories[capacity] = StaticMemory(self._pass.layers, capacity)
        memory = self._memories[capacity]
        if not memory.holds(kv_cache):
            memory.fill(kv_cache)
        logits = self._run(memory, tokens, before, logits_to_keep)
        self._last = memory.cache(before + new)
        return logits, self._last

    def _run(
        self, memory: StaticMemory, tokens: Tensor, before: int, logits_to_keep: int
    ) -> Tensor:
        new = tokens.shape[1]
        if not self._on_gpu:
            positions = torch.arange(before, before + new)
            return self._pass.run(tokens, positions, memory, logits_to_keep)
        key = memory.capacity, new, logits_to_keep
        captured = self._captured.get(key)
        if captured is None:
            captured = self._capture(memory, tokens, before, logits_to_keep)
            self._captured[key] = captured
        captured.tokens.copy_(tokens)
        if captured.before != before:
            captured.positions.add_(before - captured.before)
        captured.graph.replay()
        captured.before = before + new
        return captured.logits.clone()

    def _capture(
        self, memory: StaticMemory, tokens: Tensor, before: int, logits_to_keep: int
    ) -> _Captured:
        """Record a pass. Passes before it choose algorithms and allocate what they need."""
        tokens = tokens.clone()
        positions = torch.arange(before, before + tokens.shape[1], device=tokens.device)

        def run() -> Tensor:
            return self._pass.run(tokens, positions, memory, logits_to_keep)

        _beside(run, _WARM_UP_PASSES)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = run()
            # The next pass is most often over what follows.
            positions.add_(tokens.shape[1])
        return _Captured(graph, tokens, positions, before, logits)


def _beside(run: Callable[[], Tensor], times: int) -> None:
    """Run on a stream of its own, as capturing asks for."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(times):
            run()
    torch.cuda.current_stream().wait_stream(stream)


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype
