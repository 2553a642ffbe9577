"""The claims file, validated."""

from __future__ import annotations

import difflib
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import yaml

from semgap.claims.claim import Claim
from semgap.claims.latency import AlwaysSlower, Slower, Within
from semgap.claims.step_traffic import DoesNotGrow, GrowsByKvCache, WeightsInEveryStep
from semgap.claims.wire_bytes import MoreBytes, NoBytes, SameBytes
from semgap.errors import ConfigError

SCHEMA_FILE = Path(__file__).parents[3] / "workflow" / "schemas" / "claims.schema.yaml"

AnyClaim = (
    NoBytes
    | MoreBytes
    | SameBytes
    | WeightsInEveryStep
    | GrowsByKvCache
    | DoesNotGrow
    | AlwaysSlower
    | Slower
    | Within
)


def load_claims(path: Path) -> list[Claim]:
    """Read the claims and check each against the schema of its kind.

    Raises:
        ConfigError: names the claim and the key, and says what is allowed.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"'{path}' does not exist.", "Give the file of the claims.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"'{path}' is not valid YAML: {error}.", "Correct it.") from error
    return claims_of(content)


def claims_of(content: Any) -> list[Claim]:
    """Validate what a claims file holds.

    Raises:
        ConfigError: names the claim and the key, and says what is allowed.
    """
    schema = yaml.safe_load(SCHEMA_FILE.read_text())
    _check(content, {**schema, "properties": {"claims": {"type": "array", "minItems": 1}}}, "file")
    for position, claim in enumerate(content["claims"], start=1):
        _check_claim(claim, position, schema)
    claims: list[Claim] = list(msgspec.convert(content["claims"], list[AnyClaim]))
    for name, count in Counter(claim.id for claim in claims).items():
        if count > 1:
            raise ConfigError(f"{count} claims have the id '{name}'.", "Give each its own.")
    return claims


def _check_claim(claim: Any, position: int, schema: dict[str, Any]) -> None:
    """Check against the definition of the claim's own kind, for messages that speak of it."""
    kinds = sorted(schema["$defs"])
    kind = claim.get("kind") if isinstance(claim, dict) else None
    if kind not in kinds:
        raise ConfigError(
            f"Claim number {position} has the kind {kind!r}.", f"Allowed are: {', '.join(kinds)}."
        )
    _check(claim, schema["$defs"][kind], f"claim '{claim.get('id', f'number {position}')}'")


def _check(value: Any, schema: dict[str, Any], where: str) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    error = jsonschema.exceptions.best_match(validator.iter_errors(value))
    if error is not None:
        raise _explained(error, where)


def _explained(error: jsonschema.ValidationError, where: str) -> ConfigError:
    known = sorted(error.schema.get("properties", ()))
    if error.validator == "additionalProperties":
        unknown = sorted(set(error.instance) - set(known))[0]
        similar = difflib.get_close_matches(unknown, known, n=1)
        return ConfigError(
            f"The {where} has the unknown key '{unknown}'.",
            f"Did you mean '{similar[0]}'?" if similar else f"Allowed are: {', '.join(known)}.",
        )
    if error.validator == "required":
        missing = sorted(set(error.validator_value) - set(error.instance))[0]
        return ConfigError(f"The {where} lacks the key '{missing}'.", "Add it.")
    key = ".".join(str(part) for part in error.absolute_path)
    return ConfigError(
        f"The {where} is wrong{f' at {key!r}' if key else ''}: {error.message}.",
        "The schema is in workflow/schemas/claims.schema.yaml.",
    )
