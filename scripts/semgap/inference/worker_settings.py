"""What computes: the configuration's section ``worker``."""

from typing import Annotated

import msgspec
from msgspec import Meta


class WorkerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What computes."""

    device: Annotated[
        str,
        Meta(
            pattern=r"^(cpu|cuda(:[0-9]+)?)$(?!\n)",
            description="The worker's device: cpu, cuda, or cuda:N.",
        ),
    ] = "cpu"
    compute_threads: Annotated[
        int,
        Meta(
            ge=0,
            le=4096,
            description="Threads that the worker computes with on a CPU; 0 means all cores.",
        ),
    ] = 0
    engine: Annotated[
        str, Meta(description="How the worker runs the model: a module of scripts/semgap/engine.")
    ] = "eager"
