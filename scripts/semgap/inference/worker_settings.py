"""What computes: the configuration's section ``worker``."""

from typing import Annotated

import msgspec
from msgspec import Meta

from semgap.plumbing.limits import threads_or_all_cores


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
            description="Threads that PyTorch computes with on the worker's CPU; 0 means all "
            "cores, or one where a GPU computes.",
        ),
    ] = 0
    engine: Annotated[
        str, Meta(description="How the worker runs the model: a module of scripts/semgap/engine.")
    ] = "eager"

    @property
    def threads(self) -> int:
        """Threads that PyTorch computes with on the worker's CPU.

        Beside a GPU it only copies logits, and a second thread would spin between two steps.
        """
        if self.device != "cpu" and not self.compute_threads:
            return 1
        return threads_or_all_cores(self.compute_threads)
