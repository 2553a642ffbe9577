"""All that checks look at: the runs of an experiment and what was to be run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semgap.csv_rows import read_rows
from semgap.records import Manifest, Prompt, RunRecord, read_record
from semgap.settings import ExperimentSettings
from semgap.traffic import Workload
from semgap.traffic_rows import TrafficRow


@dataclass(frozen=True)
class RunEvidence:
    """One run.

    Attributes:
        mode, repeat: those that the run's file stands for.
        logits: float32, shape (1 + decode steps, vocabulary).
        traffic: what its capture, or the kernel, counted.
    """

    mode: str
    repeat: int
    record: RunRecord
    logits: np.ndarray
    traffic: Sequence[TrafficRow]

    @property
    def name(self) -> str:
        """The run as messages call it."""
        return f"{self.mode}, repeat {self.repeat}"


@dataclass(frozen=True)
class Evidence:
    """All runs, and what the experiment is by its configuration."""

    manifest: Manifest
    prompt: Prompt
    settings: ExperimentSettings
    runs: Sequence[RunEvidence]

    @property
    def workload(self) -> Workload:
        """The workload that the configuration asks for."""
        return Workload(
            prompt_tokens=len(self.prompt.token_ids),
            decode_steps=self.settings.decode_steps,
            warmup_decode_steps=self.settings.warmup_decode_steps,
            logits_to_keep=self.settings.logits_to_keep,
        )


def read_runs(
    records: Sequence[Path], logits: Sequence[Path], traffic: Sequence[Path]
) -> list[RunEvidence]:
    """Read runs from files in the same order; ``<mode>/rep<repeat>.json`` tells what each is.

    Raises:
        SemgapError: a file is missing or cannot be read.
    """
    return [
        RunEvidence(
            mode=record.parent.name,
            repeat=int(record.stem.removeprefix("rep")),
            record=read_record(record, RunRecord),
            logits=np.load(logit),
            traffic=read_rows(counted, TrafficRow),
        )
        for record, logit, counted in zip(records, logits, traffic, strict=True)
    ]
