"""Versions of Python and of the libraries that compute."""

import platform
from importlib import metadata

import msgspec


class Versions(msgspec.Struct, frozen=True):
    """Versions of Python and of the libraries that compute."""

    python: str
    torch: str
    transformers: str


def versions() -> Versions:
    """Look the versions up without importing the libraries."""
    return Versions(
        python=platform.python_version(),
        torch=metadata.version("torch"),
        transformers=metadata.version("transformers"),
    )
