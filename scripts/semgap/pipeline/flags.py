"""Settings as a command line: one flag per field of a frozen record."""

from __future__ import annotations

import argparse
import re
import shlex
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

Settings = TypeVar("Settings")


def add_flags(parser: argparse.ArgumentParser, settings_type: type[Settings]) -> None:
    """Give a parser one required flag for each field, with the field's type and description."""
    described = dict(re.findall(r"^ {8}(\w+): (.+)$", settings_type.__doc__ or "", re.MULTILINE))
    types = get_type_hints(settings_type)
    for field in fields(settings_type):  # type: ignore[arg-type]
        parser.add_argument(
            _flag(field.name),
            required=True,
            type=_boolean if types[field.name] is bool else types[field.name],
            help=described[field.name],
        )


def from_flags(arguments: argparse.Namespace, settings_type: type[Settings]) -> Settings:
    """Rebuild the record from parsed flags."""
    names = [field.name for field in fields(settings_type)]  # type: ignore[arg-type]
    return settings_type(**{name: getattr(arguments, name) for name in names})


def to_flags(settings: Any) -> str:
    """Render a record as the flags that ``add_flags`` reads, quoted for a shell."""
    return shlex.join(
        part
        for field in fields(settings)
        for part in (_flag(field.name), str(getattr(settings, field.name)))
    )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _boolean(text: str) -> bool:
    return {"True": True, "true": True, "False": False, "false": False}[text]
