"""What a worker keeps between two steps, each under a reference ID."""

import secrets
from typing import Generic, TypeVar

from semgap.errors import ReferenceIdError

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """One session's KV caches, or logits that do not cross with their step.

    A reference ID is 128 random bits, so it cannot be guessed, and taking what it names uses it up,
    so a stale ID can never read what has moved on. A store belongs to one session's worker process:
    the ID of another session is unknown here.
    """

    def __init__(self) -> None:
        self._values: dict[str, Value] = {}

    def __contains__(self, reference_id: str) -> bool:
        return reference_id in self._values

    def keep(self, value: Value) -> str:
        """Keep a value and return the reference ID that names it."""
        reference_id = secrets.token_hex(16)
        self._values[reference_id] = value
        return reference_id

    def take(self, reference_id: str) -> Value:
        """Return the named value and use its reference ID up.

        Raises:
            ReferenceIdError: the ID is unknown, used up, released, or of another session.
        """
        value = self.look_up(reference_id)
        del self._values[reference_id]
        return value

    def look_up(self, reference_id: str) -> Value:
        """Return the named value, which stays under its reference ID.

        Raises:
            ReferenceIdError: the ID is unknown, used up, released, or of another session.
        """
        try:
            return self._values[reference_id]
        except KeyError:
            raise ReferenceIdError(
                f"The worker keeps nothing under the reference ID '{reference_id[:8]}…': "
                "it is unknown, was used up or released, or belongs to another session.",
                "Use the ID that the last step returned, or start again with a prefill.",
            ) from None
