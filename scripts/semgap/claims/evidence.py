"""What claims are held against: the repeats' rows, each step's bytes, and the model's sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from semgap.phases import MEASURED_PHASES
from semgap.records import RunRecord
from semgap.summary import RepeatRow

REPEATS_FILE = "repeats.csv"
MANIFEST_FILE = "model/manifest.json"


@dataclass(frozen=True)
class StepBytes:
    """What the kernel's counters of the client's sockets rose by during one step.

    Attributes:
        context_tokens: positions that the pass attended to.
    """

    phase: str
    mode: str
    repeat: int
    context_tokens: int
    up_bytes: int
    down_bytes: int


@dataclass(frozen=True)
class Evidence:
    """One experiment's data.

    Attributes:
        weights_bytes: bytes of the model's state dict.
        kv_cache_bytes_per_token: bytes by which one position extends the KV cache.
    """

    experiment: str
    repeats: Sequence[RepeatRow]
    steps: Sequence[StepBytes]
    weights_bytes: int
    kv_cache_bytes_per_token: int

    def repeats_of(self, phase: str, mode: str) -> list[RepeatRow]:
        """The rows of one phase of one mode; none if the mode was not run."""
        return [row for row in self.repeats if (row.phase, row.mode) == (phase, mode)]

    def steps_of(self, phase: str, mode: str) -> list[StepBytes]:
        """The steps of one phase of one mode in all repeats; none if the mode was not run."""
        return [step for step in self.steps if (step.phase, step.mode) == (phase, mode)]


def step_bytes(record: RunRecord) -> list[StepBytes]:
    """The steps of a run's measured phases."""
    return [
        StepBytes(
            phase=phase.name,
            mode=record.mode,
            repeat=record.repeat,
            context_tokens=step.context_tokens,
            up_bytes=step.socket_up_bytes,
            down_bytes=step.socket_down_bytes,
        )
        for phase in record.phases
        if phase.name in MEASURED_PHASES
        for step in phase.steps
    ]


def run_files(mode: str) -> str:
    """The run records of a mode."""
    return f"runs/{mode}/rep*.json"
