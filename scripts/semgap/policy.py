"""What a mode is: for each semantic class of tensor, where it lives between two steps."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class TensorClass(StrEnum):
    """The semantic classes of the tensors that one step of inference touches."""

    WEIGHTS = "weights"
    KV_CACHE = "kv_cache"
    TOKENS = "tokens"
    LOGITS = "logits"


class Home(StrEnum):
    """Where the tensors of one class live between two steps.

    ``CLIENT``: nothing is kept by the worker, so the class crosses with every step that uses it.
    ``WORKER``: kept by the worker: weights cross once at start-up, a KV cache never crosses and is
    named by a reference ID.
    """

    CLIENT = "client"
    WORKER = "worker"


class WorkerPlace(StrEnum):
    """Which process executes the model."""

    IN_PROCESS = "in_process"
    SERVER = "server"


class Label(msgspec.Struct, frozen=True):
    """A mode's name in the table.

    Attributes:
        text: as Markdown and CSV show it.
        latex: LaTeX code for it; where it is None, LaTeX shows the text.
    """

    text: str
    latex: str | None = None


class Policy(msgspec.Struct, frozen=True):
    """One execution mode. Tokens and logits always travel inline with their step.

    Attributes:
        mode: the identifier used in file names and in the configuration.
        label: the name in the table, unless the configuration gives another.
        worker: which process executes the model.
        weights: home of the model's state dict.
        kv_cache: home of the KV cache.
        logit_tolerance: largest accepted absolute difference of a logit from ``local``'s. 0 where
            the arithmetic is the same: same operators, shapes, dtype and device.
    """

    mode: str
    label: Label
    worker: WorkerPlace
    weights: Home
    kv_cache: Home
    logit_tolerance: float
