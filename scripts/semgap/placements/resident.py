"""Kept by the worker: it crosses at most once, at start-up."""

from collections.abc import Sequence

from torch import Tensor

from semgap.placements import Content, Crossing, Held, Placement, Sides
from semgap.state import Kept, KvCache


class Resident(Placement):
    def at_setup(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        return tensors

    def up(self, held: Held) -> Sequence[Tensor]:
        return ()

    def down(self, held: Held, returned: Sequence[Tensor], reference_id: str | None) -> Held:
        return Held(reference_id=reference_id)

    def arrive(self, store: Kept[KvCache], reference_id: str | None, came: KvCache) -> KvCache:
        return KvCache() if reference_id is None else store.take(reference_id)

    def leave(
        self, store: Kept[KvCache], arrived: KvCache, after: KvCache
    ) -> tuple[Sequence[Tensor], str | None]:
        return (), store.keep(after)

    def setup_bytes(self, content_bytes: int) -> int:
        return content_bytes

    def held(self, content_bytes: int) -> Sides:
        return Sides(client=0, worker=content_bytes)

    def crossing(self, content: Content) -> Crossing:
        return Crossing(up=0, down=0)


PLACEMENT = Resident()
