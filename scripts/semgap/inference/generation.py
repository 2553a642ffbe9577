"""The step loop: prefill, then one forward pass per token, greedily."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from semgap.inference.client import Exchange, InferenceClient
from semgap.inference.steps import StepRecord
from semgap.placements.contract import Held
from semgap.protocol import Chosen, Forward


@dataclass(frozen=True)
class Generated:
    """What a generation led to: greedy tokens and the logits they were taken from.

    Attributes:
        logits: float32, shape (passes, vocabulary).
    """

    token_ids: tuple[int, ...]
    logits: np.ndarray


class Generation:
    """A greedy generation from a prompt, one forward pass at a time: the step loop of every mode.

    Args:
        token_ids: the prompt.
        vocabulary_size: number of logits per position.
        max_passes: the most passes that will be run.
        request_type: the kind of pass, if not the one that the client's policy asks for.
    """

    def __init__(
        self,
        client: InferenceClient,
        token_ids: Sequence[int],
        vocabulary_size: int,
        logits_to_keep: int,
        max_passes: int,
        request_type: type[Forward] | None = None,
    ) -> None:
        self._client = client
        self._logits_to_keep = logits_to_keep
        self._request_type = request_type
        self._tokens = torch.tensor([list(token_ids)], dtype=torch.int64)
        self._kv_cache = Held()
        # One row per pass: a pass's logits lie in memory that serves for the next one's.
        self._last_logits = torch.empty(max_passes, vocabulary_size, dtype=torch.float32)
        self._kept_logits: dict[int, str] = {}
        self._token_ids: list[int] = []
        self.kernel_s: list[float] = []

    def prefill(self) -> StepRecord:
        """Run the first pass, over the whole prompt."""
        return self._step().step

    def decode(self) -> StepRecord:
        """Run one pass over the token that the last one chose."""
        return self._step().step

    def release(self) -> None:
        """Free what the worker keeps of this generation."""
        self._client.release(self._kv_cache.reference_id)
        for reference_id in self._kept_logits.values():
            self._client.release(reference_id)

    def result(self) -> Generated:
        """The tokens chosen so far, and the logits behind them as float32.

        What the worker has kept of the logits crosses now: call it outside of what is measured.
        """
        while self._kept_logits:
            index, reference_id = self._kept_logits.popitem()
            self._last_logits[index] = self._client.fetch(reference_id)
        logits = self._last_logits[: len(self._token_ids)]
        return Generated(tuple(self._token_ids), logits.numpy())

    def _step(self) -> Exchange:
        logits, self._kv_cache, exchange = self._client.forward(
            self._tokens, self._kv_cache, self._logits_to_keep, self._request_type
        )
        index = len(self._token_ids)
        if isinstance(exchange.done, Chosen):
            token_id = exchange.done.token_id
            self._kept_logits[index] = exchange.done.logits_reference_id
        else:
            assert logits is not None, "where the worker does not choose, the logits came"
            token_id = int(logits[0, -1].argmax())
            self._last_logits[index] = logits[0, -1]
        self._token_ids.append(token_id)
        self._tokens = torch.tensor([[token_id]], dtype=torch.int64)
        if exchange.done.kernel_s is not None:
            self.kernel_s.append(exchange.done.kernel_s)
        return exchange
