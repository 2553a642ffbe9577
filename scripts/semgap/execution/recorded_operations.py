"""A decode step's operators are recorded once and replayed by name, on a KV cache of fixed memory.

Until then they are sent without waiting. As with CUDA graphs, whoever records says what a replay
begins with and what it gives; which of its tensors are a KV cache stays unknown.
"""

import torch
from torch import Tensor

from semgap.engine.graph_parts.static_memory import StaticMemory
from semgap.engine.graph_parts.static_pass import TransformersPass
from semgap.execution import Executor, GenerationLimits
from semgap.execution.per_operation import PerOperation
from semgap.inference.client import InferenceClient
from semgap.inference.forwarding import META
from semgap.policy import TensorClass
from semgap.protocol import Operate, Record, Replay
from semgap.state import KvCache

_DECODE = "decode"


def open_executor(client: InferenceClient, limits: GenerationLimits) -> Executor:
    return RecordedOperations(client, limits)


class RecordedOperations(PerOperation):
    """One memory and one program, for the prompts that fit in."""

    def __init__(self, client: InferenceClient, limits: GenerationLimits) -> None:
        super().__init__(client, limits)
        self._recording: list[Operate] | None = None
        self._pass = TransformersPass(self._skeleton)
        self._memory: StaticMemory | None = None
        self._is_recorded = False
        with torch.inference_mode(), self._forwarding:
            # What a replay reads: its token, and the token's position.
            self._token = torch.zeros((1, 1), dtype=torch.int64, device=META)
            self._position = torch.zeros((1,), dtype=torch.int64, device=META)

    def _operate(self, operation: Operate) -> None:
        if self._recording is None:
            self._client.post(operation)
        else:
            self._recording.append(operation)

    def _forward(self, tokens: Tensor) -> Tensor:
        if not self._positions:
            return self._prefilled(tokens)
        if not self._is_recorded:
            self._record()
        replayed = self._exchange(Replay(_DECODE), {TensorClass.TOKENS: [tokens]})
        return replayed.tensors[TensorClass.LOGITS][0]

    def _prefilled(self, tokens: Tensor) -> Tensor:
        length = tokens.shape[1]
        ids = self._allocated(tokens, TensorClass.TOKENS)
        with torch.inference_mode(), self._forwarding:
            memory = self._memory_of(length + self._limits.max_steps)
            positions = torch.arange(length, device=META)
            logits = self._pass.run(ids, positions, memory, self._limits.logits_to_keep)
            self._position.fill_(length)
        return self._content_of(logits)

    def _memory_of(self, positions: int) -> StaticMemory:
        """Empty memory for so many positions."""
        if self._memory is None or self._memory.capacity < positions:
            self._memory = StaticMemory(self._pass.layers, positions)
            self._is_recorded = False
        self._memory.fill(KvCache())
        return self._memory

    def _record(self) -> None:
        assert self._memory is not None
        with torch.inference_mode(), self._forwarding:
            # What the client has no more goes with an operator that is no part of the program.
            self._position.add_(0)
            operations: list[Operate] = []
            self._recording = operations
            kept = self._limits.logits_to_keep
            logits = self._pass.run(self._token, self._position, self._memory, kept)
            self._position.add_(1)
            self._recording = None
        ends = (self._forwarding.handle_of(one) for one in (self._token, logits))
        self._exchange(Record(_DECODE, tuple(operations), *ends))
        self._is_recorded = True

    def mark(self) -> None:
        assert self._memory is not None
        with torch.inference_mode(), self._forwarding:
            self._marked = self._memory.cache(self._positions).copied(), self._positions
        self._marked_tokens = len(self._token_ids)

    def rewind(self) -> int:
        assert self._memory is not None
        cache, positions = self._marked
        with torch.inference_mode(), self._forwarding:
            self._memory.fill(cache)
            self._position.fill_(positions)
        self._go_back(None, positions)
        return self._token_ids[-1]
