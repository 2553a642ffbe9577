"""Only positions that are new to the other side cross; the worker keeps what the client sent."""

from collections.abc import Sequence

from torch import Tensor

from semgap.placements.kept import Kept
from semgap.placements.kv_cache import KvCache, cache_of
from semgap.placements.placement_contract import Held


def at_setup(_tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    return ()


def up(held: Held) -> Sequence[Tensor]:
    return cache_of(held.tensors).since(held.known_positions)


def down(held: Held, returned: Sequence[Tensor], reference_id: str | None) -> Held:
    before = cache_of(held.tensors)
    return Held(before.joined(returned).tensors, reference_id, known_positions=before.length)


def arrive(store: Kept[KvCache], reference_id: str | None, came: Sequence[Tensor]) -> KvCache:
    kept = KvCache() if reference_id is None else store.take(reference_id)
    return kept.joined(came)


def leave(
    store: Kept[KvCache], arrived: KvCache, after: KvCache
) -> tuple[Sequence[Tensor], str | None]:
    return after.since(arrived.length), store.keep(arrived)
