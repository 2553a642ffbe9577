#!/usr/bin/env python3
"""Write config/README.md and the JSON Schema from the declaration of the configuration's keys."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from semgap.pipeline.cli import run_script
from semgap.pipeline.config import config_schema
from semgap.plumbing.markup import markdown_table
from semgap.systems import line_protocol

_INTRODUCTION = """\
# Configuration

One file describes one experiment. `default.yaml` is the embedded default and runs anywhere;
`gptj-6b.yaml` is the paper's experiment. Use another file with

    make table CONFIG=config/gptj-6b.yaml

or change single keys of a section with

    snakemake --cores 1 --config server='{port: 29700, transport: tcp}' -- results/table.md

The file is validated before any job starts: an unknown key, a wrong type or an impossible value is
an error that names the key and what is allowed. A key that is left out has its default. This page
and `workflow/schemas/config.schema.json`, which editors can use, are written from the declaration
of the keys by `make docs`.

"""


def keys(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """For each key its name, what it may be, its default, and its description."""
    for name, described in schema["properties"].items():
        if "properties" in described:
            yield from keys(described, f"{prefix}{name}.")
        else:
            yield (
                f"`{prefix}{name}`",
                _allowed(described),
                f"`{json.dumps(described['default'])}`" if "default" in described else "required",
                described["description"],
            )


def _allowed(described: Mapping[str, Any]) -> str:
    if "anyOf" in described:
        return " or ".join(map(_allowed, described["anyOf"]))
    if "enum" in described:
        return ", ".join(f"`{value}`" for value in described["enum"])
    words = [described["type"]]
    for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤")):
        if key in described:
            words.append(f"{sign} {described[key]}")
    return " ".join(words)


def protocol_schema() -> dict[str, Any]:
    """JSON Schema of a line of the line protocol: a request or a reply."""
    lines, definitions = msgspec.json.schema_components(
        [*line_protocol.REQUESTS, *line_protocol.REPLIES], ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"The line protocol, version {line_protocol.PROTOCOL}",
        "anyOf": list(lines),
        "$defs": definitions,
    }


def document(
    output: Annotated[Path, "writes the page"],
    schema: Annotated[Path, "writes the JSON Schema"],
    protocol: Annotated[Path, "writes the JSON Schema of the line protocol"],
) -> None:
    header = ("Key", "Allowed", "Default", "Meaning")
    table = markdown_table(header, list(keys(config_schema())), text_columns=len(header))
    output.write_text(f"{_INTRODUCTION}{table}\n", encoding="utf-8")
    for file, described in ((schema, config_schema()), (protocol, protocol_schema())):
        file.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_script(document)
