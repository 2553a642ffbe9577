"""Where tensors of one semantic class live between two steps: what client and worker ask."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from semgap.state import Kept, KvCache


class Content(NamedTuple):
    """Bytes of one semantic class around one step, in the model's own form."""

    before: int  # what the step continues from
    known: int  # what of it the step before continued from
    after: int  # what the step leads to


class Sides(NamedTuple):
    """Bytes that are held between two steps."""

    client: int
    worker: int


class Crossing(NamedTuple):
    """Bytes that cross with one step."""

    up: int
    down: int


@dataclass(frozen=True)
class Held:
    """What a client has of one class between two steps."""

    tensors: Sequence[Tensor] = ()  # in the client's memory
    reference_id: str | None = None  # names what the worker keeps
    known_positions: int = 0  # how many positions of ``tensors`` the worker keeps
    positions: int = 0  # how many positions the steps so far have had


class Placement:
    """What a placement does; it defines what it does otherwise than this one.

    This one sends all with every step and returns all; the worker keeps nothing.
    """

    def at_setup(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """On the client: what crosses once, at start-up."""
        return ()

    def up(self, held: Held) -> Sequence[Tensor]:
        """On the client: what crosses with a step."""
        return held.tensors

    def down(self, held: Held, returned: Sequence[Tensor], reference_id: str | None) -> Held:
        """On the client: what it has after a step, from what it had and what came back."""
        return Held(returned)

    def arrive(self, store: Kept[KvCache], reference_id: str | None, came: KvCache) -> KvCache:
        """On the worker: the KV cache that a pass continues. What came is unusable after the pass.

        Args:
            came: the tensors that came with the step, and the positions of all steps before.

        Raises:
            ReferenceIdError: the worker keeps nothing under that ID.
        """
        return came

    def leave(
        self, store: Kept[KvCache], arrived: KvCache, after: KvCache
    ) -> tuple[Sequence[Tensor], str | None]:
        """On the worker: what goes back, and the reference ID of what stays.

        Args:
            arrived: the KV cache that the pass continued.
            after: the KV cache that it led to.
        """
        returned = after.valid()
        after.forget()
        return returned, None

    def setup_bytes(self, content_bytes: int) -> int:
        """By arithmetic: what crosses once of so much content that exists from the start."""
        return 0

    def held(self, content_bytes: int) -> Sides:
        """By arithmetic: which side has so much content between two steps."""
        return Sides(client=content_bytes, worker=0)

    def crossing(self, content: Content) -> Crossing:
        """By arithmetic: what crosses with a step. Captures are compared with it."""
        return Crossing(up=content.before, down=content.after)


def load_placement(name: str) -> Placement:
    """Import the placement of that name, and no other."""
    placement: Placement = importlib.import_module(f"semgap.placements.{name}").PLACEMENT
    return placement
