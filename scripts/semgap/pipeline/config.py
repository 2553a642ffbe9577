"""The validated configuration of one experiment."""

import difflib
import functools
import math
from collections.abc import Mapping
from typing import Annotated, Any

import jsonschema
import msgspec
from msgspec import Meta

from semgap.errors import ConfigError
from semgap.inference.worker_settings import WorkerSettings
from semgap.linkbench.link_settings import LinkSettings
from semgap.measurement.job_settings import CaptureSettings, WorkloadSettings
from semgap.model.model_settings import ModelSettings
from semgap.modes import policy_of
from semgap.plumbing.registry import names_in
from semgap.policy import Label, Policy
from semgap.server.endpoint import ServerSettings

_Text = Annotated[
    str, Meta(pattern="^[^\\x00-\\x1f\\x7f]+$", description="A text without control characters.")
]


class LabelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text, and LaTeX code for the same."""

    text: _Text
    latex: _Text


class Workload(WorkloadSettings, frozen=True, forbid_unknown_fields=True):
    """What is run in every mode."""

    prompt_tokens: Annotated[int, Meta(ge=1, description="Length of the prompt (tokens).")] = 128
    prompt_seed: Annotated[int, Meta(ge=0, description="Chooses the prompt's token ids.")] = 0
    repeats: Annotated[int, Meta(ge=1, description="Benchmark jobs per mode.")] = 3
    order_seed: Annotated[
        int, Meta(ge=0, description="Shuffles the order of the modes within each round of repeats.")
    ] = 0

    def of_a_job(self) -> WorkloadSettings:
        """What of it a benchmark job does."""
        return WorkloadSettings(self.decode_steps, self.warmup_decode_steps, self.logits_to_keep)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One experiment. What a key is, may be, and is by default, is declared here and in the
    sections' own modules, and nowhere else.
    """

    experiment: Annotated[
        str,
        Meta(
            pattern="^[a-z0-9][a-z0-9._-]*$",
            extra_json_schema={"not": {"enum": ["models", "reference"]}},
            description="Name of the experiment; its results are under results/<experiment>/.",
        ),
    ]
    model: ModelSettings
    workload: Workload = msgspec.field(default_factory=Workload)
    modes: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            extra_json_schema={"uniqueItems": True, "contains": {"const": "local"}},
            description="Rows of the policy table to run; `local` is what the others are checked "
            "against.",
        ),
    ] = ("local", "naive", "remote_cache", "semantic")
    labels: Annotated[
        dict[str, _Text | LabelSettings],
        Meta(
            description="Names of modes in the table, where they are not those of the policy "
            "table: a text, or {text, latex} with LaTeX code for the same."
        ),
    ] = {}
    worker: WorkerSettings = msgspec.field(default_factory=WorkerSettings)
    server: ServerSettings = msgspec.field(default_factory=ServerSettings)
    capture: CaptureSettings = msgspec.field(default_factory=CaptureSettings)
    link: LinkSettings = msgspec.field(default_factory=LinkSettings)

    def label_of(self, policy: Policy) -> Label:
        """A mode's name in the table."""
        label = self.labels.get(policy.mode, policy.label)
        if isinstance(label, LabelSettings):
            return Label(label.text, label.latex)
        return Label(label) if isinstance(label, str) else label


@functools.cache
def config_schema() -> dict[str, Any]:
    """The declaration as a JSON Schema without references."""
    schema = msgspec.json.schema(Config)
    definitions = schema.pop("$defs")

    def resolved(node: Any) -> Any:
        if isinstance(node, list):
            return [resolved(item) for item in node]
        if not isinstance(node, dict):
            return node
        node = {**node}
        reference = node.pop("$ref", None)
        if reference is not None:
            node = {**definitions[reference.rpartition("/")[2]], **node}
        node.pop("title", None)
        return {key: resolved(value) for key, value in node.items()}

    root: dict[str, Any] = resolved(definitions["Config"])
    return root


def load_config(values: Mapping[str, Any]) -> Config:
    """Validate the configuration, fill in defaults and check what one key demands of another.

    Raises:
        ConfigError: names the key, what it is, and what is allowed.
    """
    values = _readable(values)
    validator = jsonschema.Draft202012Validator(
        config_schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    error = jsonschema.exceptions.best_match(validator.iter_errors(values))
    if error is not None:
        raise _explained(error)
    try:
        config = msgspec.convert(values, Config)
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
    return msgspec.structs.replace(config, model=config.model.without_other_sources())


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


def _check_model(model: ModelSettings) -> None:
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
        "maxLength": "of length at most",
        "minItems": "of length at least",
        "contains": "containing",
        "not": "not",
    }
    kinds = schema.get("type", "any value")
    kind = " or ".join(kinds) if isinstance(kinds, list) else kinds
    limits = [f"{word} {schema[key]}" for key, word in names.items() if key in schema]
    meaning = schema.get("description", "").strip().rstrip(".")
    return ", ".join([kind, *limits]) + (f" ({meaning})" if meaning else "")
