"""Which model the experiment runs."""

from __future__ import annotations

import msgspec


class ModelSettings(msgspec.Struct, frozen=True):
    """Which model the experiment runs.

    Attributes:
        name: the model's name in the table
        weights_from: where its weights come from (hub, folder, seeded)
        origin: the source of the weights, as the table says it
        seed: makes the weights where they are seeded
        dtype: dtype of weights, KV cache and logits
    """

    name: str
    weights_from: str
    origin: str
    seed: int
    dtype: str
