"""Only positions that are new to the other side cross; the worker keeps what the client sent."""

from collections.abc import Sequence

from torch import Tensor

from semgap.placements import Content, Crossing, Held, Placement, Sides
from semgap.state import Kept, KvCache


class Delta(Placement):
    def up(self, held: Held) -> Sequence[Tensor]:
        return _cache_of(held).since(held.known_positions)

    def down(self, held: Held, returned: Sequence[Tensor], reference_id: str | None) -> Held:
        after = _cache_of(held).joined(returned, held.positions)
        return Held(after.tensors, reference_id, known_positions=held.positions)

    def arrive(self, store: Kept[KvCache], reference_id: str | None, came: KvCache) -> KvCache:
        kept = KvCache() if reference_id is None else store.take(reference_id)
        return kept.joined(came.tensors, came.length)

    def leave(
        self, store: Kept[KvCache], arrived: KvCache, after: KvCache
    ) -> tuple[Sequence[Tensor], str | None]:
        new = after.since(arrived.length)
        after.forget()
        return new, store.keep(arrived)

    def held(self, content_bytes: int) -> Sides:
        return Sides(client=content_bytes, worker=content_bytes)

    def crossing(self, content: Content) -> Crossing:
        return Crossing(up=content.before - content.known, down=content.after - content.before)


def _cache_of(held: Held) -> KvCache:
    return KvCache(tuple(held.tensors), held.positions)


PLACEMENT = Delta()
