"""A whole forward pass is one request."""

import torch
from torch import Tensor

from semgap.execution.executor_contract import Answer, Executor, GenerationLimits
from semgap.inference.client import InferenceClient
from semgap.inference.steps import StepRecord
from semgap.placements.placement_contract import Held
from semgap.protocol import Chosen


def open_executor(client: InferenceClient, limits: GenerationLimits) -> Executor:
    return ForwardPass(client, limits)


class ForwardPass(Executor):
    def __init__(self, client: InferenceClient, limits: GenerationLimits) -> None:
        self._client = client
        self._logits_to_keep = limits.logits_to_keep
        self._kv_cache = Held()
        self._token_ids: list[int] = []
        # One row per step: the transport reuses a step's memory for the next step.
        self._logits = torch.empty(limits.max_steps, limits.vocabulary_size, dtype=torch.float32)
        self._kept_logits: dict[int, str] = {}

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
            token_id = int(logits[0, -1].argmax())
            self._logits[index] = logits[0, -1]
        self._token_ids.append(token_id)
        return token_id, exchange.step

    def answer(self) -> Answer:
        while self._kept_logits:
            index, reference_id = self._kept_logits.popitem()
            self._logits[index] = self._client.fetch(reference_id)
        return Answer(tuple(self._token_ids), self._logits[: len(self._token_ids)].clone().numpy())

    def reset(self) -> None:
        for reference_id in (self._kv_cache.reference_id, *self._kept_logits.values()):
            if reference_id is not None:
                self._client.release(reference_id)
        self._kv_cache = Held()
        self._kept_logits.clear()
        self._token_ids.clear()
