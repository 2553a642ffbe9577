"""Sizes from which a placement's formula says what crosses; no tensor is needed for it."""

from typing import NamedTuple


class Content(NamedTuple):
    """Bytes of one semantic class around one step, in the model's own form."""

    before: int  # what the step continues from
    known: int  # what of it the step before continued from
    after: int  # what the step leads to


class Crossing(NamedTuple):
    """Bytes that cross with one step."""

    up: int
    down: int
