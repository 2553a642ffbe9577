"""What a mode is: for each semantic class of tensor, where it lives between two steps."""

from enum import StrEnum

import msgspec


class TensorClass(StrEnum):
    """The semantic classes of the tensors that one step of inference touches."""

    WEIGHTS = "weights"
    KV_CACHE = "kv_cache"
    TOKENS = "tokens"
    LOGITS = "logits"


class WorkerPlace(StrEnum):
    """Which process executes the model."""

    IN_PROCESS = "in_process"
    SERVER = "server"


class Label(msgspec.Struct, frozen=True):
    """A mode's name in the table."""

    text: str  # as Markdown and CSV show it
    latex: str | None = None  # LaTeX code for it; where it is None, LaTeX shows the text


class Policy(msgspec.Struct, frozen=True):
    """One execution mode."""

    mode: str  # the identifier used in file names and in the configuration
    label: Label  # the name in the table, unless the configuration gives another
    worker: WorkerPlace  # which process executes the model
    # weights, kv_cache, tokens, logits: name of the placement of each semantic class: a module of
    # ``semgap.placements``. Where logits are resident, the worker chooses the token
    weights: str
    kv_cache: str
    # largest accepted absolute difference of a logit from ``local``'s. 0 where the arithmetic is
    # the same: same operators, shapes, dtype and device
    logit_tolerance: float
    tokens: str = "inline"
    logits: str = "inline"
    # name of the unit of remote execution: a module of ``semgap.execution``
    executor: str = "forward_pass"
