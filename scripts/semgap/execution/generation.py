"""The step loop of every mode: prefill, then one step per token, greedily."""

from collections.abc import Iterator, Sequence

import torch

from semgap.execution.executor_contract import Executor
from semgap.inference.steps import StepRecord


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
