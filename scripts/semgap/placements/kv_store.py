"""KV caches kept by a worker, each under a reference ID."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from torch import Tensor

from semgap.errors import ReferenceIdError


class KvStore:
    """The KV caches of one session.

    A reference ID is 128 random bits, so it cannot be guessed, and taking a cache uses its ID up,
    so a stale ID can never read a cache that has moved on. A store belongs to one session's
    worker process: the ID of another session is unknown here.
    """

    def __init__(self) -> None:
        self._caches: dict[str, tuple[Tensor, ...]] = {}

    def __len__(self) -> int:
        return len(self._caches)

    def keep(self, kv_cache: Sequence[Tensor]) -> str:
        """Keep a KV cache and return the reference ID that names it."""
        reference_id = secrets.token_hex(16)
        self._caches[reference_id] = tuple(kv_cache)
        return reference_id

    def take(self, reference_id: str) -> tuple[Tensor, ...]:
        """Return the named KV cache and use its reference ID up.

        Raises:
            ReferenceIdError: the ID is unknown, used up, released, or of another session.
        """
        try:
            return self._caches.pop(reference_id)
        except KeyError:
            raise ReferenceIdError(
                f"The worker keeps no KV cache under the reference ID '{reference_id[:8]}…': "
                "it is unknown, was used up or released, or belongs to another session.",
                "Use the ID that the last step returned, or start again with a prefill.",
            ) from None
