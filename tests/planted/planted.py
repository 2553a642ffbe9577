"""Wrong evaluations, made on purpose: a file of data for each family of mistakes.

Each has a name, what it ``would`` have published, and the check that has to catch it:
``rederivation`` for rederivation.py, ``warning`` for a note under the table. ``edits`` to the code
replace a text that stands there once; the ``measured`` modes are measured with them. A ``change``
is one to the files of an honest experiment (changes.py). Where a check is called beside the one way
from evidence to numbers, ``unplugged`` leaves the call out.
"""

from pathlib import Path

import msgspec
import yaml

FAMILIES = {
    "modes": "What the modes do",
    "clock": "The clock",
    "capture": "The capture",
    "arithmetic": "The arithmetic",
    "files": "The files",
}


class Edit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A replacement in a file of the project."""

    file: str
    old: str
    new: str


class Planted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wrong evaluation."""

    name: str
    would: str
    caught_by: str
    said: str = ""  # what is said of it, among other warnings
    measured: tuple[str, ...] = ()
    edits: tuple[Edit, ...] = ()
    change: str | None = None
    unplugged: Edit | None = None


def planted_in(family: str) -> tuple[Planted, ...]:
    file = Path(__file__).with_name(f"{family}.yaml")
    return msgspec.convert(yaml.safe_load(file.read_text(encoding="utf-8")), tuple[Planted, ...])


PLANTED = tuple(one for family in FAMILIES for one in planted_in(family))
