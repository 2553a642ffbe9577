"""Versions of what computes and what carries."""

import platform
from importlib import metadata

import msgspec


class Versions(msgspec.Struct, frozen=True):
    """Versions of what computes and what carries."""

    python: str
    torch: str
    transformers: str


def versions() -> Versions:
    """Versions of what computes and carries, without importing what is not yet imported."""
    return Versions(
        python=platform.python_version(),
        torch=metadata.version("torch"),
        transformers=metadata.version("transformers"),
    )
