"""The validated configuration of one experiment."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import yaml

from semgap.errors import ConfigError
from semgap.modes import policy_of
from semgap.plumbing.registry import names_in
from semgap.policy import Label

SCHEMA_FILE = Path(__file__).parents[3] / "workflow" / "schemas" / "config.schema.yaml"


class Hub(msgspec.Struct, frozen=True):
    """``model.hub``."""

    repo: str | None
    revision: str | None


class Model(msgspec.Struct, frozen=True):
    """``model``."""

    name: str
    weights: str
    hub: Hub
    folder: str | None
    architecture: dict[str, Any] | None
    seed: int
    dtype: str


class Workload(msgspec.Struct, frozen=True):
    """``workload``."""

    prompt_tokens: int
    prompt_seed: int
    decode_steps: int
    warmup_decode_steps: int
    logits_to_keep: int
    repeats: int
    order_seed: int


class WorkerConfig(msgspec.Struct, frozen=True):
    """``worker``."""

    device: str
    compute_threads: int
    engine: str


class Server(msgspec.Struct, frozen=True):
    """``server``."""

    transport: str
    host: str
    port: int
    external: bool
    idle_timeout_s: float
    start_timeout_s: float
    step_timeout_s: float


class CaptureConfig(msgspec.Struct, frozen=True):
    """``capture``."""

    use: str
    interface: str
    interface_address: str


class LinkConfig(msgspec.Struct, frozen=True):
    """``link``."""

    max_message_bytes: int
    rounds: int
    round_trips: int


class Config(msgspec.Struct, frozen=True):
    """One experiment; the keys are described in ``workflow/schemas/config.schema.yaml``."""

    experiment: str
    model: Model
    workload: Workload
    modes: tuple[str, ...]
    labels: dict[str, Label]
    worker: WorkerConfig
    server: Server
    capture: CaptureConfig
    link: LinkConfig


def load_config(values: Mapping[str, Any]) -> Config:
    """Validate the configuration, fill in defaults and check what one key demands of another.

    Raises:
        ConfigError: names the key, what it is, and what is allowed.
    """
    values = _readable(values)
    schema = yaml.safe_load(SCHEMA_FILE.read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    error = jsonschema.exceptions.best_match(validator.iter_errors(values))
    if error is not None:
        raise _explained(error)
    try:
        config = msgspec.convert(_as_read(_with_defaults(values, schema)), Config)
    except msgspec.ValidationError as error:
        key = str(error).rpartition("$.")[2].rstrip("`")
        raise ConfigError(
            f"The configuration key '{key}' does not fit: {error}.",
            "Write a whole number where one is asked for: 32, not 32.0.",
        ) from None
    _check_model(config.model)
    _check_modes(config)
    _check_loaded("worker.engine", config.worker.engine, "engine")
    _check_loaded("server.transport", config.server.transport, "transport")
    return config


def _readable(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, with an unquoted ``off`` read as text, and all numbers checked to be finite.

    Raises:
        ConfigError: a number is infinite or NaN.
    """

    def check_finite(value: object, key: str) -> None:
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(
                f"The configuration key '{key}' is {value}.", "Give a finite number there."
            )
        if isinstance(value, Mapping):
            for name, inner in value.items():
                check_finite(inner, f"{key}.{name}" if key else str(name))

    check_finite(values, "")
    capture = values.get("capture")
    if isinstance(capture, Mapping) and capture.get("use") is False:
        # YAML 1.1 takes an unquoted `off` for false.
        return {**values, "capture": {**capture, "use": "off"}}
    return dict(values)


def _as_read(values: dict[str, Any]) -> dict[str, Any]:
    """The values in the form of ``Config``: a label that is just a text has no LaTeX code."""
    labels = {
        mode: {"text": label} if isinstance(label, str) else label
        for mode, label in values["labels"].items()
    }
    return {**values, "labels": labels}


def _with_defaults(values: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    completed = dict(values)
    for key, described in schema["properties"].items():
        if "default" in described:
            completed.setdefault(key, described["default"])
        if "properties" in described and isinstance(completed.get(key), dict):
            completed[key] = _with_defaults(completed[key], described)
    return completed


def _check_model(model: Model) -> None:
    required: dict[str, dict[str, Any]] = {
        "hub": {"model.hub.repo": model.hub.repo, "model.hub.revision": model.hub.revision},
        "folder": {"model.folder": model.folder},
        "seeded": {"model.architecture": model.architecture},
    }
    for key, value in required[model.weights].items():
        if value is None:
            raise ConfigError(
                f"'model.weights' is '{model.weights}', but '{key}' is not set.",
                f"Set '{key}', or choose other weights.",
            )


def _check_modes(config: Config) -> None:
    for mode in (*config.modes, *config.labels):
        policy_of(mode)


def _check_loaded(key: str, name: str, folder: str) -> None:
    """Check that what is loaded by name is there."""
    known = names_in(folder)
    if name not in known:
        raise ConfigError(
            f"The configuration key '{key}' is '{name}'.", f"Allowed is: {' or '.join(known)}."
        )


def _explained(error: jsonschema.ValidationError) -> ConfigError:
    key = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", ()))
        unknown = sorted(set(error.instance) - set(known))[0]
        similar = difflib.get_close_matches(unknown, known, n=1)
        return ConfigError(
            f"The configuration has no key '{f'{key}.' if key else ''}{unknown}'.",
            f"Did you mean '{similar[0]}'?" if similar else f"Allowed here: {', '.join(known)}.",
        )
    if error.validator == "required":
        missing = sorted(set(error.validator_value) - set(error.instance))[0]
        return ConfigError(
            f"The configuration lacks the key '{f'{key}.' if key else ''}{missing}'.", "Add it."
        )
    return ConfigError(
        f"The configuration key '{key}' is {error.instance!r}.",
        f"Allowed is: {_allowed(error.schema)}.",
    )


def _allowed(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(str(value) for value in schema["enum"])
    names = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "pattern": "matching",
        "format": "formatted as",
        "minLength": "of length at least",
        "minItems": "of length at least",
        "contains": "containing",
        "not": "not",
    }
    kinds = schema.get("type", "any value")
    kind = " or ".join(kinds) if isinstance(kinds, list) else kinds
    limits = [f"{word} {schema[key]}" for key, word in names.items() if key in schema]
    meaning = schema.get("description", "").strip().rstrip(".")
    return ", ".join([kind, *limits]) + (f" ({meaning})" if meaning else "")
