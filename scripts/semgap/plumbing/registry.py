"""A registry is a folder: each of its modules implements what its ``__init__`` asks for."""

import pkgutil
from pathlib import Path

_LIBRARY = Path(__file__).parents[1]


def names_in(folder: str) -> tuple[str, ...]:
    """Names of the implementations in a folder of this library; none is imported."""
    found = pkgutil.iter_modules([str(_LIBRARY / folder)])
    return tuple(sorted(module.name for module in found if not module.ispkg))
