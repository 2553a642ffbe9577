"""The unit of remote execution: what an executor offers, and the step loop of every mode."""

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from semgap.inference.client import InferenceClient
from semgap.inference.steps import StepRecord


@dataclass(frozen=True)
class Answer:
    """Greedy tokens and the logits that they were taken from."""

    token_ids: tuple[int, ...]
    logits: np.ndarray  # float32, shape (steps, vocabulary)


@dataclass(frozen=True)
class GenerationLimits:
    """Sizes that an executor allocates for."""

    vocabulary_size: int  # number of logits per position
    logits_to_keep: int  # last positions that logits are computed for; 0 means all
    max_steps: int  # the most steps that one generation has


class Executor(Protocol):
    """Executes a generation's steps on a worker, as the client's policy says."""

    def setup(self) -> list[StepRecord]:
        """Send what the policy keeps on the worker from the start."""
        ...

    def step(self, tokens: Tensor) -> tuple[int, StepRecord]:
        """Extend the generation by ``tokens`` (int64, shape (1, n)); returns the next token.

        Raises:
            RemoteError: the worker refused or failed.
            TransportError: the worker could not be reached.
        """
        ...

    def answer(self) -> Answer:
        """Tokens and logits of the steps since the last reset.

        Logits that the worker kept cross now, so call this outside the measured phases.
        """
        ...

    def reset(self) -> None:
        """Free what the worker keeps of the generation; the next step begins another one."""
        ...

    def mark(self) -> None:
        """Remember the generation as it is, on both sides, until the next reset."""
        ...

    def rewind(self) -> int:
        """Go back to what was marked; returns the last token up to there."""
        ...


class ExecutorModule(Protocol):
    """The function that a module in this folder defines to be an executor."""

    def open_executor(self, client: InferenceClient, limits: GenerationLimits) -> Executor:
        """Make an executor for a worker that is configured."""
        ...


def load_executor(name: str) -> ExecutorModule:
    """Import the executor of that name, and no other."""
    module: ExecutorModule = importlib.import_module(f"semgap.execution.{name}")
    return module


def generate(executor: Executor, prompt: Sequence[int]) -> Iterator[StepRecord]:
    """Execute one step per iteration: the prefill first, then decode steps.

    Args:
        prompt: token ids.
    """
    tokens = torch.tensor([list(prompt)], dtype=torch.int64)
    while True:
        token_id, record = executor.step(tokens)
        yield record
        tokens = torch.tensor([[token_id]], dtype=torch.int64)
