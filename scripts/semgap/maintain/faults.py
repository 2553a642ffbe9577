"""Write docs/faults.md: what is refused, warned of and survived, from the names of its tests."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parents[3]
PAGE = PROJECT / "docs" / "faults.md"
_KINDS = {
    "refused": "Nothing is published; a message names the cause and the remedy.",
    "warned_of": "The table is published, and the notes under it say so.",
    "survived": "The result is the same, or what is missing is left out and said to be.",
}


class Fault(NamedTuple):
    """A test's name in words, and its file."""

    kind: str
    what: str
    file: Path


def faults() -> Iterator[Fault]:
    """Every test whose name begins with a kind."""
    for file in sorted((PROJECT / "tests").rglob("test_*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                for kind in _KINDS:
                    if node.name.startswith(f"test_{kind}_"):
                        words = node.name.removeprefix(f"test_{kind}_").replace("_", " ")
                        yield Fault(kind, words, file.relative_to(PROJECT))


def page() -> str:
    """The page as Markdown."""
    found = list(faults())
    parts = [
        "# Faults: what is refused, warned of, survived\n",
        "Each line is a test that failed before the project could do it. `make docs` writes this "
        "page from\nthe tests' names.\n",
    ]
    for kind, meaning in _KINDS.items():
        parts.append(f"## {kind.replace('_', ' ').capitalize()}\n\n{meaning}\n")
        parts += [
            f"- {fault.what} ([{fault.file.stem}](../{fault.file}))"
            for fault in sorted(found, key=lambda fault: fault.what)
            if fault.kind == kind
        ]
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
