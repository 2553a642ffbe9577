"""Only positions that are new to the other side cross; the worker keeps what the client sent."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from semgap.placements.contract import Held
from semgap.placements.kept_tensors import KeptTensors

# A KV cache's tensors have the shape (batch, heads, positions, width of a head).
_POSITIONS = -2


def at_setup(_tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """See ``Placement.at_setup``."""
    return ()


def up(held: Held) -> Sequence[Tensor]:
    """See ``Placement.up``."""
    return _beyond(held.tensors, held.known_positions)


def down(held: Held, returned: Sequence[Tensor], reference_id: str | None) -> Held:
    """See ``Placement.down``."""
    return Held(_joined(held.tensors, returned), reference_id, _positions(held.tensors))


def arrive(
    store: KeptTensors, reference_id: str | None, came: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """See ``Placement.arrive``."""
    return _joined(() if reference_id is None else store.take(reference_id), came)


def leave(
    store: KeptTensors, arrived: Sequence[Tensor], after: Sequence[Tensor]
) -> tuple[Sequence[Tensor], str | None]:
    """See ``Placement.leave``."""
    return _beyond(after, _positions(arrived)), store.keep(arrived)


def _positions(tensors: Sequence[Tensor]) -> int:
    return tensors[0].shape[_POSITIONS] if tensors else 0


def _beyond(tensors: Sequence[Tensor], positions: int) -> tuple[Tensor, ...]:
    return tuple(
        tensor.narrow(_POSITIONS, positions, _positions(tensors) - positions).contiguous()
        for tensor in tensors
    )


def _joined(first: Sequence[Tensor], second: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Always in memory of its own: what came is made unusable."""
    if not first:
        return tuple(tensor.clone() for tensor in second)
    return tuple(
        torch.cat(pair, dim=_POSITIONS) for pair in zip(first, second or first, strict=True)
    )
