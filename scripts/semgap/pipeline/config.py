"""The validated configuration of one experiment."""

import difflib
import functools
import inspect
import ipaddress
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, structs

from semgap.errors import ConfigError
from semgap.inference.worker_settings import WorkerSettings
from semgap.linkbench.link_settings import LinkSettings
from semgap.measurement.job_settings import CaptureSettings, StoppingRule, WorkloadSettings
from semgap.model.model_settings import ModelSettings, PackageSettings
from semgap.modes import POLICIES, policy_of
from semgap.plumbing.registry import names_in
from semgap.plumbing.yaml_files import read_yaml
from semgap.policy import Label, Policy
from semgap.server.endpoint import LinkShape, ServerSettings
from semgap.server.network_namespace import near_address
from semgap.systems.system_settings import SystemSettings

_Text = Annotated[
    str,
    Meta(
        pattern="^[^\\x00-\\x1f\\x7f]+$(?!\\n)",
        max_length=200,
        description="A text without control characters.",
    ),
]

# What a file or folder may be called anywhere.
_Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$(?!\n)", max_length=100)]

_Count = Annotated[int, Meta(ge=1)]

# Folders under results/ that hold no experiment.
_RESERVED = ("models", "reference")
# Ways to start a server behind a network.
_ELSEWHERE = ("namespace", "ssh")
# Executors that send requests without waiting, and transports over which each waits for its reply.
POSTING = ("pipelined_operations", "recorded_operations")
ALWAYS_WAITING = ("torch_rpc",)
# Those below are root's.
_FIRST_OPEN_PORT = 1024


class LabelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text, and LaTeX code for the same."""

    text: _Text
    latex: _Text


class Workload(WorkloadSettings, frozen=True, forbid_unknown_fields=True):
    """What is run in every mode."""

    prompt_tokens: Annotated[
        int, Meta(ge=1, description="Length of a prompt of random tokens.")
    ] = 128
    prompt_seed: Annotated[int, Meta(ge=0, description="Chooses those tokens.")] = 0
    prompt_text: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="A text as the prompt instead, for a model with a tokenizer; the table's "
            "notes show it with its continuation. Decoding does not stop at the text's end."
        ),
    ] = None
    prompt_file: Annotated[
        str | None,
        Meta(description="File with that text (UTF-8, without the white space at its end)."),
    ] = None
    repeats: Annotated[
        _Count | dict[str, _Count],
        Meta(description="Benchmark jobs per mode: a number, or a table with a number by mode."),
    ] = 3
    stopping: Annotated[
        StoppingRule | None,
        Meta(
            description="How the number of repeats was chosen, {within_percent, at_most}; "
            "`make precise` sets it, and the notes under the table state it."
        ),
    ] = None
    order_seed: Annotated[
        int, Meta(ge=0, description="Shuffles the order of the modes within each round of repeats.")
    ] = 0

    def repeats_of(self, mode: str) -> int:
        """How many benchmark jobs a mode has."""
        return self.repeats if isinstance(self.repeats, int) else self.repeats[mode]

    def of_a_job(self) -> WorkloadSettings:
        """The part that a benchmark job needs."""
        names = WorkloadSettings.__struct_fields__
        return WorkloadSettings(**{name: getattr(self, name) for name in names})


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One experiment. What a key is, may be, and is by default, is declared here and in the
    sections' own modules, and nowhere else.
    """

    experiment: Annotated[
        _Name,
        Meta(description="Name of the experiment; its results are under results/<experiment>/."),
    ]
    model: ModelSettings
    workload: Workload = msgspec.field(default_factory=Workload)
    modes: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
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
    systems: Annotated[
        dict[_Name, SystemSettings],
        Meta(
            description="Systems of somebody else's by a name for their files, measured beside the "
            "modes: peers.md (docs/systems.md)."
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
        if isinstance(node.get("description"), str):
            # A docstring; Python 3.13 dedents it, older versions do not.
            node["description"] = inspect.cleandoc(node["description"])
        return {key: resolved(value) for key, value in node.items()}

    root: dict[str, Any] = resolved(definitions["Config"])
    return root


def read_config(*files: Path) -> Config:
    """Read and validate files, of which each overrides keys of those before it.

    Raises:
        ConfigError: one is missing or no YAML, or a key is wrong.
    """
    return load_config(read_values(*files))


def read_values(*files: Path) -> dict[str, Any]:
    """Read files, of which each overrides keys of those before it.

    Raises:
        ConfigError: one is missing or no YAML.
    """
    remedy = "Name a configuration, config/default.yaml for example."
    values: dict[str, Any] = {}
    for file in files:
        found = read_yaml(file, remedy)
        if not isinstance(found, dict):
            raise ConfigError(f"'{file}' has no keys.", remedy)
        values = overridden(values, found)
    return values


def overridden(values: Mapping[str, Any], by: Mapping[str, Any]) -> dict[str, Any]:
    """As Snakemake joins the files of its option --configfile."""
    both = {
        key: overridden(values[key], value)
        if isinstance(value, Mapping) and isinstance(values.get(key), Mapping)
        else value
        for key, value in by.items()
    }
    return {**values, **both}


def load_config(values: Mapping[str, Any]) -> Config:
    """Validate the configuration, fill in defaults and check what one key demands of another.

    Raises:
        ConfigError: names the key, what it is, and what is allowed.
    """
    if "sweep" in values:
        raise ConfigError(
            "The configuration has the key 'sweep': it describes several experiments.",
            "Measure them with 'make sweep', or leave the key out for a single one.",
        )
    capture = values.get("capture")
    if isinstance(capture, Mapping) and capture.get("use") is False:
        # YAML 1.1 takes an unquoted `off` for false.
        values = {**values, "capture": {**capture, "use": "off"}}
    try:
        # Snakemake's --config makes texts of the numbers within a section: server='{port: 29700}'.
        config = msgspec.convert(values, Config, strict=False)
    except msgspec.ValidationError as error:
        raise _explained(str(error), values) from None
    by_mode = config.workload.repeats if isinstance(config.workload.repeats, dict) else {}
    for mode in (*config.modes, *config.labels, *by_mode):
        policy_of(mode)
    if by_mode and (without := [mode for mode in config.modes if mode not in by_mode]):
        raise ConfigError(
            f"'workload.repeats' has no number for {', '.join(without)}.",
            "Give each of 'modes' one, or one number for all.",
        )
    _check_model(config.model)
    _check_prompt(config, values.get("workload"))
    for holds, key, value, allowed in (
        (config.experiment not in _RESERVED, "experiment", config.experiment, "another name"),
        ("local" in config.modes, "modes", config.modes, "modes with local among them"),
        (len(set(config.modes)) == len(config.modes), "modes", config.modes, "each mode once"),
        _address("server.host", config.server.host),
        _port("server.port", config.server.port),
        _address("capture.interface_address", config.capture.interface_address),
        (
            config.server.launch not in _ELSEWHERE or not config.server.host.startswith("127."),
            *("server.host", config.server.host),
            "the far side's address, such as 10.77.0.2",
        ),
        (
            (config.server.launch == "ssh") == (config.server.ssh is not None),
            *("server.ssh", config.server.ssh),
            "a destination and its project, with server.launch ssh and only then",
        ),
        (
            config.server.launch == "namespace" or config.server.link == LinkShape(),
            *(
                "server.link",
                {name: one for name, one in structs.asdict(config.server.link).items() if one},
            ),
            "none, unless server.launch is namespace",
        ),
        (
            not config.systems or config.server.launch in ("local", "namespace"),
            *("systems", ", ".join(config.systems)),
            "none, unless server.launch is local or namespace",
        ),
        *(
            (
                system.baseline in (None, *config.systems) and system.baseline != name,
                *(f"systems.{name}.baseline", system.baseline),
                "another of the systems",
            )
            for name, system in config.systems.items()
        ),
        (
            not set(config.systems) & {policy.mode for policy in POLICIES},
            *("systems", ", ".join(config.systems)),
            "names that no mode has",
        ),
        (
            config.server.transport not in ALWAYS_WAITING or not _posting(config.modes),
            *("server.transport", config.server.transport),
            f"tcp, since {' and '.join(_posting(config.modes))} send without waiting for replies",
        ),
        _loaded("worker.engine", config.worker.engine, "engine"),
        _loaded("server.transport", config.server.transport, "transport"),
    ):
        if not holds:
            raise ConfigError(
                f"The configuration key '{key}' is {value!r}.", f"Allowed is: {allowed}."
            )
    return structs.replace(
        config,
        capture=_behind_link(config.server, config.capture),
        model=config.model.without_other_sources(),
        workload=_with_prompt_text(config.workload),
    )


def _posting(modes: Sequence[str]) -> list[str]:
    return [mode for mode in modes if policy_of(mode).executor in POSTING]


def _check_model(model: ModelSettings) -> None:
    required: dict[str, dict[str, Any]] = {
        "hub": {"model.hub.repo": model.hub.repo, "model.hub.revision": model.hub.revision},
        "package": {
            f"model.package.{name}": getattr(model.package, name)
            for name in PackageSettings.__struct_fields__
        },
        "folder": {"model.folder": model.folder},
        "seeded": {
            "model.architecture": model.architecture,
            "model.architecture.model_type": (model.architecture or {}).get("model_type"),
        },
    }
    if model.folder is not None and set("{}\n") & set(model.folder):
        raise ConfigError(
            f"'model.folder' is {model.folder!r}; Snakemake takes a brace in a path for the "
            "beginning of a wildcard.",
            "Rename that folder, or link to it under another name.",
        )
    for key, value in required[model.weights].items():
        if value is None:
            raise ConfigError(
                f"'model.weights' is '{model.weights}', but '{key}' is not set.",
                f"Set '{key}', or choose other weights.",
            )


def _check_prompt(config: Config, workload: Any) -> None:
    said = workload if isinstance(workload, Mapping) else {}
    texts, others = (
        [key for key in keys if said.get(key) is not None]
        for keys in (("prompt_text", "prompt_file"), ("prompt_tokens", "prompt_seed"))
    )
    if texts and len(texts + others) > 1:
        raise ConfigError(
            f"'workload.{texts[0]}' and 'workload.{(texts + others)[1]}' exclude each other.",
            "Say either which text the prompt is, or how many random tokens it has.",
        )
    if texts and config.model.weights == "seeded":
        raise ConfigError(
            f"'workload.{texts[0]}' is set, but a model with seeded weights has no tokenizer.",
            "Set 'workload.prompt_tokens' instead, or choose pretrained weights.",
        )


def _behind_link(server: ServerSettings, capture: CaptureSettings) -> CaptureSettings:
    """The capture on this side of a link; its control traffic, from here to here, is on ``lo``."""
    if server.launch not in _ELSEWHERE:
        return capture
    # Where `local` is measured on the other machine, its loopback is the one address that fits.
    near = near_address(server.host) if server.launch == "namespace" else "127.0.0.1"
    return structs.replace(capture, interface="any", interface_address=near)


def _with_prompt_text(workload: Workload) -> Workload:
    if workload.prompt_file is None:
        return workload
    try:
        text = Path(workload.prompt_file).read_text(encoding="utf-8").rstrip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"'workload.prompt_file', '{workload.prompt_file}', cannot be read: {error}.",
            "Name a file with text in UTF-8.",
        ) from error
    if not text:
        raise ConfigError(
            f"'workload.prompt_file', '{workload.prompt_file}', is empty.",
            "Write a prompt into it.",
        )
    return structs.replace(workload, prompt_text=text, prompt_file=None)


def _address(key: str, value: str) -> tuple[bool, str, str, str]:
    try:
        return bool(ipaddress.IPv4Address(value)), key, value, "an IPv4 address"
    except ValueError:
        return False, key, value, "an IPv4 address"


def _port(key: str, port: int) -> tuple[bool, str, int, str]:
    return port == 0 or port >= _FIRST_OPEN_PORT, key, port, "0, a free one, or 1024 to 65535"


def _loaded(key: str, name: str, folder: str) -> tuple[bool, str, str, str]:
    """A module that is loaded by name must exist."""
    known = names_in(folder)
    return name in known, key, name, " or ".join(known)


def _explained(message: str, values: Mapping[str, Any]) -> ConfigError:
    """A message of msgspec, "what - at `$.key`", with the value and what is allowed."""
    what, _, place = message.partition(" - at `$")
    keys: list[str] = []
    value: Any = values
    schema: Mapping[str, Any] = config_schema()
    for part in re.findall(r"\w+|\.{3}", place):
        schema = _of_object(schema)
        if part == "..." and not isinstance(value, Mapping):
            # Of a list, all of it is shown.
            schema = schema.get("items", {})
            continue
        entry = _wrong_entry(message, values, keys) if part == "..." else part
        schema = schema.get("properties", {}).get(entry) or schema.get("additionalProperties") or {}
        value = value.get(entry) if isinstance(value, Mapping) else value
        keys.append(entry)
    schema = _of_object(schema)
    key = ".".join(keys)
    field = re.fullmatch(r"Object (contains unknown|missing required) field `(.*)`", what)
    if field is None:
        allowed = " or ".join(map(str, schema["enum"])) if "enum" in schema else what
        return ConfigError(
            f"The configuration key '{key}' is {value!r}.",
            f"Allowed is: {allowed.removeprefix('Expected ')}. {schema.get('description', '')}",
        )
    name = f"{key}.{field[2]}".lstrip(".")
    if field[1] == "missing required":
        return ConfigError(f"The configuration lacks the key '{name}'.", "Add it.")
    known = sorted(schema.get("properties", ()))
    similar = difflib.get_close_matches(field[2], known, n=1)
    return ConfigError(
        f"The configuration has no key '{name}'.",
        f"Did you mean '{similar[0]}'?" if similar else f"Allowed here: {', '.join(known)}.",
    )


def _of_object(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of alternatives, the one with keys."""
    with_keys = [one for one in schema.get("anyOf", ()) if "properties" in one]
    return with_keys[0] if with_keys else schema


def _wrong_entry(message: str, values: Mapping[str, Any], keys: Sequence[str]) -> str:
    """The entry of a section of named ones that a message, which leaves its name out, is about."""
    section: Any = values
    for key in keys:
        section = section[key]
    for name in section:
        alone: Any = {name: section[name]}
        for key in reversed(keys):
            alone = {key: alone}
        try:
            msgspec.convert({**values, **alone}, Config, strict=False)
        except msgspec.ValidationError as error:
            if str(error) == message:
                return str(name)
    return "..."
