"""Errors by name, and how they get into the modules of the product: right after their import."""

from __future__ import annotations

import importlib
import sys
from collections import defaultdict
from collections.abc import Callable
from importlib.machinery import PathFinder
from types import ModuleType

Spoil = Callable[[ModuleType], None]

ERRORS: defaultdict[str, dict[str, Spoil]] = defaultdict(dict)


def spoils(module_name: str, error: str) -> Callable[[Spoil], Spoil]:
    """Register what an error does to a module; an error may do something to several."""

    def register(spoil: Spoil) -> Spoil:
        ERRORS[error][module_name] = spoil
        return spoil

    return register


def plant(error: str) -> None:
    """Have each module spoiled when it is imported.

    Raises:
        KeyError: there is no such error.
    """
    for part in ("modes", "work", "meters", "analysis"):
        importlib.import_module(f"errors.{part}")
    if error not in ERRORS:
        raise KeyError(f"no error is called '{error}'")
    sys.meta_path.insert(0, _AfterImport(ERRORS[error]))


class _AfterImport:
    """A finder that changes nothing about how a module is found, and spoils it once it is there."""

    def __init__(self, spoils_of_modules: dict[str, Spoil]) -> None:
        self._spoils = spoils_of_modules

    def find_spec(self, name, path, _target=None):
        """See ``importlib.abc.MetaPathFinder.find_spec``."""
        if name not in self._spoils:
            return None
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def execute_and_spoil(module: ModuleType) -> None:
            execute(module)
            self._spoils[name](module)

        spec.loader.exec_module = execute_and_spoil
        return spec
