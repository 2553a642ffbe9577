"""The configuration: its schema, its defaults, and what a wrong one says."""

import contextlib
import math
import subprocess
import sys

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from semgap.errors import ConfigError
from semgap.measurement.job_settings import WorkloadSettings
from semgap.pipeline.config import config_schema, load_config, read_config
from small_models import PROJECT

DEFAULT = PROJECT / "config" / "default.yaml"
FULL_SIZE = PROJECT / "config" / "gptj-6b.yaml"
EXPERIMENTS = sorted(set(DEFAULT.parent.glob("*.yaml")) - {DEFAULT.parent / "claims.yaml"})


def values(path=DEFAULT):
    return yaml.safe_load(path.read_text())


def changed(key, value):
    config = values()
    *parents, last = key.split(".")
    section = config
    for parent in parents:
        section = section.setdefault(parent, {})
    section[last] = value
    return config


def leaves(schema, prefix=""):
    for name, described in schema["properties"].items():
        if "properties" in described:
            yield from leaves(described, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", described


def test_the_default_is_the_experiment_in_small():
    config = load_config(values())
    assert config.experiment == "mini"
    assert (config.model.weights, config.model.dtype, config.worker.device) == (
        "seeded",
        "float32",
        "cpu",
    )
    assert (config.workload.prompt_tokens, config.workload.decode_steps) == (128, 5)
    assert config.workload.repeats == 3


def test_the_paper_experiment_is_full_size():
    config = load_config(values(FULL_SIZE))
    assert (config.model.weights, config.model.hub.repo) == ("hub", "EleutherAI/gpt-j-6b")
    assert (config.model.dtype, config.worker.device) == ("float16", "cuda")
    assert (config.workload.prompt_tokens, config.workload.decode_steps) == (128, 5)


def test_a_minimal_file_is_completed():
    minimal = {
        "experiment": "x",
        "model": {"name": "m", "weights": "seeded", "architecture": {"model_type": "gpt2"}},
    }
    config = load_config(minimal)
    assert config.workload.decode_steps == 5
    assert config.modes == ("local", "naive", "remote_cache", "semantic")


OWN = {"label": "Own", "command": ["own"]}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("workload.decode_stps", 5, r"no key 'workload.decode_stps'. Did you mean 'decode_steps'"),
        ("colour", "red", r"no key 'colour'. Allowed here: .*workload"),
        ("workload.decode_steps", 0, r"'workload.decode_steps' is 0. Allowed is: `int` >= 1"),
        ("workload.repeats", "three", r"'workload.repeats' is 'three'. Allowed is: `int"),
        ("workload.repeats", {"local": 3}, r"no number for naive, remote_cache, semantic"),
        ("workload.repeats", {"locl": 3}, r"no mode 'locl'"),
        ("model.dtype", "float64", r"'model.dtype' is 'float64'.*bfloat16 or float16 or float32"),
        ("server.port", 80, r"'server.port' is 80.*or 1024 to 65535"),
        ("server.host", "localhost", r"'server.host' is 'localhost'.*an IPv4 address"),
        ("modes", ["local", "op_graph"], r"'server.transport' is 'torch_rpc'.*since op_graph send"),
        ("server.transport", "carrier-pigeon", r"Allowed is: tcp or torch_rpc"),
        ("worker.engine", "static_memory", r"Allowed is: eager or graph\."),
        ("worker.device", "gpu", r"'worker.device' is 'gpu'"),
        ("server.launch", "cloud", r"'server.launch' is 'cloud'.*external or local or namespace"),
        ("server.launch", "namespace", r"'server.host' is '127.0.0.1'.*such as 10.77.0.2"),
        (
            "server.link.rate_gbit",
            1,
            r"'server.link' is {'rate_gbit': 1.0}. .*unless server.launch is namespace",
        ),
        ("server.link.rate_gbit", 0, r"'server.link.rate_gbit' is 0"),
        ("modes", ["naive"], r"'modes' is .*modes with local"),
        ("modes", ["local", "blind"], r"no mode 'blind'"),
        ("labels", {"blind": "Blind"}, r"no mode 'blind'"),
        ("model.weights", "hub", r"'model.weights' is 'hub', but 'model.hub.repo' is not set"),
        ("model.weights", "folder", r"'model.folder' is not set"),
        ("model.weights", "package", r"'package', but 'model.package.name' is not set"),
        ("model.package.sha256", "f" * 40, r"'model.package.sha256' is 'f+'"),
        ("model.package.file", "a.safetensors", r"'model.package.file' is 'a.safetensors'"),
        ("model.package.name", "--index-url", r"'model.package.name' is '--index-url'"),
        ("workload.prompt_text", "", r"'workload.prompt_text' is ''"),
        ("workload.prompt_text", "A text", r"prompt_text' is set, but a model with seeded weights"),
        ("model.architecture", None, r"'model.architecture' is not set"),
        ("model.hub.revision", "main", r"'model.hub.revision' is 'main'"),
        ("experiment", "reference", r"'experiment' is 'reference'"),
        ("experiment", "../x", r"'experiment' is '../x'"),
        ("labels", {"naive": "Blind", "local": 3}, r"'labels.local' is 3"),
        ("labels", {"local": "two\nlines"}, r"'labels.local' is .*two.*matching regex"),
        ("labels", {"local": {"text": "a"}}, r"lacks the key 'labels.local.latex'"),
        ("labels", {"local": {"texts": "a"}}, r"no key 'labels.local.texts'. Did you mean 'text'"),
        (
            "systems",
            {"a": OWN, "b": {**OWN, "x": 1}},
            r"no key 'systems.b.x'. Allowed here: .*label",
        ),
        (
            "systems",
            {"a": {**OWN, "lable": "A"}},
            r"no key 'systems.a.lable'. Did you mean 'label'",
        ),
        ("systems", {"a": OWN, "b": {**OWN, "command": 3}}, r"'systems.b.command' is 3"),
        ("workload.prompt_tokens", 32.5, r"'workload.prompt_tokens'.* is 32.5. Allowed is: `int`"),
        ("server.step_timeout_s", math.nan, r"'server.step_timeout_s' is nan"),
        ("server.start_timeout_s", math.inf, r"'server.start_timeout_s' is inf"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(key, value, message):
    with pytest.raises(ConfigError, match=message):
        load_config(changed(key, value))


def test_a_link_is_captured_on_this_side():
    link = load_config(values(PROJECT / "config" / "mini-link.yaml"))
    assert link.server.host == "10.77.0.2"
    assert (link.capture.interface, link.capture.interface_address) == ("any", "10.77.0.1")


FROM_PACKAGE = yaml.safe_load((PROJECT / "config" / "smollm2.yaml").read_text())


def prompted(**workload):
    return load_config({**FROM_PACKAGE, "workload": workload}).workload


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("prompt_text", {"prompt_tokens": 8}),
        ("prompt_text", {"prompt_seed": 1}),
        ("prompt_text", {"prompt_file": "p"}),
        ("prompt_file", {"prompt_tokens": 8}),
        ("prompt_file", {"prompt_seed": 1}),
    ],
)
def test_refused_two_prompts(text, other):
    (key,) = other
    with pytest.raises(ConfigError, match=rf"'workload.{text}' and 'workload.{key}' exclude each"):
        prompted(**{text: "a", **other})


def test_a_prompt_may_be_in_a_file(tmp_path):
    file = tmp_path / "prompt.txt"
    file.write_text("Once upon a time\n\n")
    read = prompted(prompt_file=str(file))
    assert (read.prompt_text, read.prompt_file) == ("Once upon a time", None)
    assert read == prompted(prompt_text="Once upon a time")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read: .*No such file"), (b"\xff", "cannot be read"), (b" \n", "is empty")],
)
def test_a_file_without_a_prompt_is_named(tmp_path, content, message):
    file = tmp_path / "prompt.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"'workload.prompt_file'.*{message}"):
        prompted(prompt_file=str(file))


def test_a_missing_key_is_named():
    config = values()
    del config["model"]["weights"]
    with pytest.raises(ConfigError, match=r"lacks the key 'model.weights'"):
        load_config(config)


def test_the_documentation_is_current(tmp_path):
    page, schema = tmp_path / "README.md", tmp_path / "config.schema.json"
    protocol = tmp_path / "line-protocol.schema.json"
    command = [sys.executable, PROJECT / "scripts" / "document_config.py"]
    flags = ["--output", page, "--schema", schema, "--protocol", protocol]
    subprocess.run([*command, *flags], check=True)
    for written, kept in ((page, "config"), (schema, "workflow/schemas"), (protocol, "docs")):
        assert written.read_text() == (PROJECT / kept / written.name).read_text(), "run: make docs"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_every_file_is_a_configuration_that_says_what_differs(path):
    config = load_config(values(path))
    assert config.experiment == {"default": "mini"}.get(path.stem, path.stem)
    written = set(leaves_of(values(path)))
    defaults = {key: described.get("default") for key, described in leaves(config_schema())}
    assert {key for key in written if defaults.get(key) == written_value(path, key)} == set()


def leaves_of(config, prefix=""):
    for name, value in config.items():
        if isinstance(value, dict) and f"{prefix}{name}" != "model.architecture":
            yield from leaves_of(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def written_value(path, key):
    section = values(path)
    for part in key.split("."):
        section = section[part]
    return section


def test_off_may_be_written_without_quotes():
    """YAML 1.1 reads it as false."""
    assert yaml.safe_load("use: off") == {"use": False}
    assert load_config(changed("capture.use", False)).capture.use == "off"


KEYS = [key for key, _ in leaves(config_schema())]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just(10**400)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*KEYS, "model", "workload", "server"]), VALUES)
def test_every_value_of_every_key_is_taken_or_refused_in_our_own_words(key, value):
    with contextlib.suppress(ConfigError):
        load_config(changed(key, value))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["local", "naive"]), VALUES)
def test_every_label_is_taken_or_refused_in_our_own_words(mode, value):
    with contextlib.suppress(ConfigError):
        load_config(changed("labels", {mode: value}))


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "cannot be read: No such file"), ("a: [", "is no usable YAML"), ("", "has no keys")],
)
def test_a_file_that_is_no_configuration_is_named(text, said, tmp_path):
    file = tmp_path / "c.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        read_config(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("name", WorkloadSettings.__struct_fields__)
def test_every_setting_of_a_workload_reaches_its_job_under_its_name(name):
    workload = msgspec.structs.replace(read_config(DEFAULT).workload, **{name: "of this name"})
    job = workload.of_a_job()
    assert type(job) is WorkloadSettings
    assert getattr(job, name) == "of this name"
    others = set(WorkloadSettings.__struct_fields__) - {name}
    assert all(getattr(job, other) == getattr(workload, other) for other in others)
