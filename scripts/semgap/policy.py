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
    """One execution mode. A placement is named by its module in ``semgap.placements``."""

    mode: str  # the identifier used in file names and in the configuration
    label: Label  # the name in the table, unless the configuration gives another
    worker: WorkerPlace
    weights: str
    kv_cache: str
    tokens: str = "inline"
    logits: str = "inline"  # where they are resident, the worker chooses the token
    executor: str = "forward_pass"  # the unit of remote execution: a module of semgap.execution
    encoding: str | None = None  # what crosses in place of tensors: a module of semgap.encodings
    # Largest accepted absolute difference of a logit from local's. 0 where the arithmetic is the
    # same: same operators, shapes, dtype and device.
    logit_tolerance: float = 0.0
