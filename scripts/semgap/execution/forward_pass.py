"""A whole forward pass is one request."""

from dataclasses import replace

import torch
from torch import Tensor

from semgap.execution import Answer, Executor, GenerationLimits
from semgap.inference.client import InferenceClient
from semgap.inference.steps import StepRecord
from semgap.placements import Held
from semgap.protocol import Chosen


def open_executor(client: InferenceClient, limits: GenerationLimits) -> Executor:
    return ForwardPass(client, limits)


class ForwardPass(Executor):
    def __init__(self, client: InferenceClient, limits: GenerationLimits) -> None:
        self._client = client
        self._logits_to_keep = limits.logits_to_keep
        self._kv_cache = Held()
        self._token_ids: list[int] = []
        # One row per step: the transport reuses a step's memory for the next step. It is written
        # now, since the first touch of a page takes time.
        self._logits = torch.full((limits.max_steps, limits.vocabulary_size), torch.nan)
        self._kept_logits: dict[int, str] = {}
        self._marked = Held()
        self._marked_tokens = 0

    def setup(self) -> list[StepRecord]:
        return self._client.setup()

    def step(self, tokens: Tensor) -> tuple[int, StepRecord]:
        logits, self._kv_cache, exchange = self._client.forward(
            tokens, self._kv_cache, self._logits_to_keep
        )
        index = len(self._token_ids)
        if isinstance(exchange.done, Chosen):
            token_id = exchange.done.token_id
            self._kept_logits[index] = exchange.done.logits_reference_id
        else:
            assert logits is not None, "where the worker does not choose, the logits came"
            row = self._logits[index].copy_(logits[0, -1])
            # numpy takes a tenth of the time that torch takes to find the largest on a CPU.
            token_id = int(row.numpy().argmax())
        self._token_ids.append(token_id)
        return token_id, exchange.step

    def answer(self) -> Answer:
        while self._kept_logits:
            index, reference_id = self._kept_logits.popitem()
            self._logits[index] = self._client.fetch(reference_id)
        return Answer(tuple(self._token_ids), self._logits[: len(self._token_ids)].clone().numpy())

    def reset(self) -> None:
        self._release(self._marked)
        self._marked, self._marked_tokens = Held(), 0
        self._go_back(Held())

    def mark(self) -> None:
        self._release(self._marked)
        # The transport reuses a step's memory for the next step.
        own = tuple(tensor.clone() for tensor in self._kv_cache.tensors)
        self._marked = self._copy_of(replace(self._kv_cache, tensors=own))
        self._marked_tokens = len(self._token_ids)

    def rewind(self) -> int:
        self._go_back(self._copy_of(self._marked))
        return self._token_ids[-1]

    def _go_back(self, kv_cache: Held) -> None:
        """Continue from a KV cache after as many tokens as are marked."""
        self._release(self._kv_cache)
        self._kv_cache = kv_cache
        for index in range(self._marked_tokens, len(self._token_ids)):
            if index in self._kept_logits:
                self._client.release(self._kept_logits.pop(index))
        del self._token_ids[self._marked_tokens :]

    def _copy_of(self, held: Held) -> Held:
        """What is held, with what the worker keeps of it under an ID of its own."""
        if held.reference_id is None:
            return held
        return replace(held, reference_id=self._client.duplicate(held.reference_id))

    def _release(self, held: Held) -> None:
        if held.reference_id is not None:
            self._client.release(held.reference_id)
