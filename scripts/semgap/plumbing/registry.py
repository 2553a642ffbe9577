"""A registry is a folder: each of its modules is an implementation of the folder's contract."""

import pkgutil
import re
from pathlib import Path

_LIBRARY = Path(__file__).parents[1]
_NO_IMPLEMENTATION = re.compile(r"\w+_contract|running_meters")


def names_in(folder: str) -> tuple[str, ...]:
    """Names of the implementations in a folder of this library; none is imported."""
    found = pkgutil.iter_modules([str(_LIBRARY / folder)])
    modules = (module.name for module in found if not module.ispkg)
    return tuple(sorted(name for name in modules if not _NO_IMPLEMENTATION.fullmatch(name)))
