"""Tensors kept by a worker between two steps, each group under a reference ID."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from torch import Tensor

from semgap.errors import ReferenceIdError


class KeptTensors:
    """What one session's worker keeps: KV caches, and logits that do not cross with their step.

    A reference ID is 128 random bits, so it cannot be guessed, and taking what it names uses it up,
    so a stale ID can never read what has moved on. A store belongs to one session's worker process:
    the ID of another session is unknown here.
    """

    def __init__(self) -> None:
        self._groups: dict[str, tuple[Tensor, ...]] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def keep(self, group: Sequence[Tensor]) -> str:
        """Keep tensors and return the reference ID that names them."""
        reference_id = secrets.token_hex(16)
        self._groups[reference_id] = tuple(group)
        return reference_id

    def take(self, reference_id: str) -> tuple[Tensor, ...]:
        """Return the named tensors and use their reference ID up.

        Raises:
            ReferenceIdError: the ID is unknown, used up, released, or of another session.
        """
        try:
            return self._groups.pop(reference_id)
        except KeyError:
            raise ReferenceIdError(
                f"The worker keeps nothing under the reference ID '{reference_id[:8]}…': "
                "it is unknown, was used up or released, or belongs to another session.",
                "Use the ID that the last step returned, or start again with a prefill.",
            ) from None
