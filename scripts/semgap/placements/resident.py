"""Kept by the worker: it crosses at most once, at start-up."""

from collections.abc import Sequence

from torch import Tensor

from semgap.placements.placement_contract import Content, Crossing, Held
from semgap.state.kept import Kept
from semgap.state.kv_cache import KvCache


def at_setup(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    return tensors


def up(_held: Held) -> Sequence[Tensor]:
    return ()


def down(_held: Held, _returned: Sequence[Tensor], reference_id: str | None) -> Held:
    return Held(reference_id=reference_id)


def arrive(store: Kept[KvCache], reference_id: str | None, _came: KvCache) -> KvCache:
    return KvCache() if reference_id is None else store.take(reference_id)


def leave(
    store: Kept[KvCache], _arrived: KvCache, after: KvCache
) -> tuple[Sequence[Tensor], str | None]:
    return (), store.keep(after)


def setup_bytes(content_bytes: int) -> int:
    return content_bytes


def crossing(_content: Content) -> Crossing:
    return Crossing(up=0, down=0)
