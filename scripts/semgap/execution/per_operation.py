"""An operator is one request: the client runs the model on tensors that the worker keeps."""

import time
from typing import Any

import torch
import transformers
from msgspec import structs
from torch import Tensor

from semgap.execution import Answer, Executor, GenerationLimits
from semgap.inference.client import Exchange, InferenceClient, in_messages
from semgap.inference.forwarding import META, Forwarding
from semgap.inference.steps import StepRecord, joined
from semgap.model.cache_form import cache_tensors, restored_cache, slots_of
from semgap.model.causal_lm import run_pass
from semgap.model.skeleton import ModelSkeleton
from semgap.policy import TensorClass
from semgap.protocol import Allocate, Operate, Read, Request
from semgap.transport import Tensors


def open_executor(client: InferenceClient, limits: GenerationLimits) -> Executor:
    return PerOperation(client, limits)


class PerOperation(Executor):
    def __init__(self, client: InferenceClient, limits: GenerationLimits) -> None:
        self._client = client
        self._limits = limits
        self._forwarding = Forwarding(self._operate)
        self._exchanges: list[StepRecord] = []
        self._cache: Any = None
        self._positions = 0
        self._marked: tuple[Any, int] = None, 0
        self._marked_tokens = 0
        self._token_ids: list[int] = []
        self._logits = torch.full((limits.max_steps, limits.vocabulary_size), torch.nan)
        manifest = client.manifest
        dtype = getattr(torch, manifest.dtype)
        with torch.inference_mode():
            self._skeleton = ModelSkeleton(manifest.model_config, dtype, torch.device("cpu"))
        self._module = self._skeleton.module
        members = dict(self._module.named_parameters()) | dict(self._module.named_buffers())
        self._weights = [
            self._forwarding.new_handle(members.pop(tensor.name)) for tensor in manifest.tensors
        ]
        self._allocate_buffers()

    def _allocate_buffers(self) -> None:
        """What the model's constructor computed: other modes' workers have it from theirs."""
        for module in self._module.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None and not hasattr(buffer, "remote"):
                    module._buffers[name] = self._allocated(buffer, TensorClass.WEIGHTS)

    def setup(self) -> list[StepRecord]:
        records = []
        for first, weights in in_messages(self._client.setup_weights):
            handles = tuple(self._weights[first : first + len(weights)])
            header = Allocate(handles)
            records.append(self._client.exchange(header, {TensorClass.WEIGHTS: weights}).step)
        return records

    def step(self, tokens: Tensor) -> tuple[int, StepRecord]:
        begin_ns = time.monotonic_ns()
        # To free thousands of records takes as long as some operators.
        self._exchanges.clear()
        logits = self._forward(tokens)
        record = joined(self._exchanges, begin_ns)
        self._positions += tokens.shape[1]
        row = self._logits[len(self._token_ids)].copy_(logits[0, -1])
        self._token_ids.append(int(row.numpy().argmax()))
        return self._token_ids[-1], record

    def _forward(self, tokens: Tensor) -> Tensor:
        """Run the model over ``tokens``; returns the logits' content."""
        ids = self._allocated(tokens, TensorClass.TOKENS)
        with self._forwarding:
            logits, self._cache = run_pass(
                self._module, ids, self._cache, self._limits.logits_to_keep
            )
        return self._content_of(logits)

    def _content_of(self, logits: Tensor) -> Tensor:
        handle, released = self._forwarding.handle_of(logits), self._forwarding.released()
        return self._exchange(Read(handle, released)).tensors[TensorClass.LOGITS][0]

    def answer(self) -> Answer:
        return Answer(tuple(self._token_ids), self._logits[: len(self._token_ids)].clone().numpy())

    def reset(self) -> None:
        self._marked, self._marked_tokens = (None, 0), 0
        self._go_back(None, 0)

    def mark(self) -> None:
        self._marked = self._copied(self._cache, self._positions), self._positions
        self._marked_tokens = len(self._token_ids)

    def rewind(self) -> int:
        cache, positions = self._marked
        self._go_back(self._copied(cache, positions), positions)
        return self._token_ids[-1]

    def _go_back(self, cache: Any, positions: int) -> None:
        self._cache, self._positions = cache, positions
        del self._token_ids[self._marked_tokens :]

    def _copied(self, cache: Any, positions: int) -> Any:
        """The same content in memory of its own."""
        slots = slots_of(cache)
        with torch.inference_mode(), self._forwarding:
            tensors = [tensor.clone() for tensor in cache_tensors(cache, slots)]
            empty = transformers.DynamicCache(config=self._module.config)
            return restored_cache(empty, slots, tensors, positions)

    def _allocated(self, content: Tensor, tensor_class: TensorClass) -> Tensor:
        """A tensor whose content the worker has."""
        with torch.inference_mode():
            tensor = torch.empty_like(content, device=META)
        header = Allocate((self._forwarding.new_handle(tensor),))
        self._exchange(header, {tensor_class: [content]})
        return tensor

    def _operate(self, operation: Operate) -> None:
        self._exchange(operation)

    def _exchange(self, header: Request, tensors: Tensors | None = None) -> Exchange:
        """An exchange of the step, with what was posted since the last one."""
        exchange = self._client.exchange(header, tensors)
        requests, compute_s = exchange.posted
        step = structs.replace(
            exchange.step, requests=1 + requests, compute_s=exchange.step.compute_s + compute_s
        )
        self._exchanges.append(step)
        return exchange
