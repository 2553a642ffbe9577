"""Sent with every step and returned; the worker keeps nothing."""

from collections.abc import Sequence

from torch import Tensor

from semgap.placements.placement_contract import Content, Crossing, Held
from semgap.state.kept import Kept
from semgap.state.kv_cache import KvCache


def at_setup(_tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    return ()


def up(held: Held) -> Sequence[Tensor]:
    return held.tensors


def down(_held: Held, returned: Sequence[Tensor], _reference_id: str | None) -> Held:
    return Held(returned)


def arrive(_store: Kept[KvCache], _reference_id: str | None, came: KvCache) -> KvCache:
    return came


def leave(
    _store: Kept[KvCache], _arrived: KvCache, after: KvCache
) -> tuple[Sequence[Tensor], str | None]:
    returned = after.valid()
    after.forget()
    return returned, None


def setup_bytes(_content_bytes: int) -> int:
    return 0


def crossing(content: Content) -> Crossing:
    return Crossing(up=content.before, down=content.after)
