"""Downloading for real, over HTTP, from a Hub of our own on loopback."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys

import pytest
import torch
import transformers

from hub_server import REPO, REVISION, Hub
from patience import PATIENCE_S
from semgap.model.sources import pretrained_weights
from small_models import ARCHITECTURES, PROJECT

SCRIPTS = PROJECT / "scripts"
CONFIG = {"config.json": b"{}"}
SMALL = {**CONFIG, "model.safetensors": b"not looked into by a download"}
FIRST, SECOND = "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"
INDEX = {
    "pytorch_model.bin.index.json": json.dumps({"weight_map": {"a": FIRST, "b": SECOND}}).encode()
}


def call(url, folder, *command):
    """Run Python where huggingface_hub can reach nothing but the endpoint."""
    return subprocess.run(
        [sys.executable, *command],
        env={
            **os.environ,
            "HF_ENDPOINT": url,
            "HF_HOME": str(folder.parent / "hf-home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": str(SCRIPTS),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
    )


def download(url, folder, repo=REPO, revision=REVISION):
    """Run the script as its rule does."""
    script = SCRIPTS / "download_model.py"
    return call(url, folder, script, "--repo", repo, "--revision", revision, "--folder", folder)


def failure(url, folder, **which):
    """What the script says of a download that must fail."""
    done = download(url, folder, **which)
    assert done.returncode == 1, done.stdout
    assert "Unexpected" not in done.stdout
    assert not folder.exists()
    return done.stdout


@pytest.fixture
def serve():
    """Serves hubs until the test has ended."""
    with contextlib.ExitStack() as serving:
        yield lambda hub: serving.enter_context(hub.serving())


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A GPT-J's tensors, and its files as a repository has them, in every form."""
    config = transformers.AutoConfig.for_model(**ARCHITECTURES["gptj"])
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    work = tmp_path_factory.mktemp("checkpoints")
    model.save_pretrained(work / "safetensors")
    model.save_pretrained(work / "shards", max_shard_size="200KB")
    for form, zipped in (("pytorch", True), ("pytorch-legacy", False)):
        model.config.save_pretrained(work / form)
        torch.save(
            model.state_dict(),
            work / form / "pytorch_model.bin",
            _use_new_zipfile_serialization=zipped,
        )
    forms = {
        folder.name: {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in work.iterdir()
    }
    return model.state_dict(), forms


FORMS = ["safetensors", "shards", "pytorch", "pytorch-legacy"]


@pytest.mark.parametrize("form", FORMS)
def test_a_model_arrives_and_is_the_same(serve, form, checkpoints, tmp_path):
    tensors, forms = checkpoints
    unwanted = {
        "README.md": b"# A model",
        "modeling_x.py": b"raise SystemExit",
        "flax_model.msgpack": b"never fetched",
        "tf_model.h5": b"never fetched",
    }
    tokenizer = {"tokenizer.json": b"{}", "merges.txt": b"t h"}
    if form in ("safetensors", "shards"):
        unwanted["pytorch_model.bin"] = b"never fetched"
    folder = tmp_path / "model"
    done = download(serve(Hub({**forms[form], **tokenizer, **unwanted})).url, folder)
    assert done.returncode == 0, done.stdout
    needed = {name for name in forms[form] if name != "generation_config.json"} | set(tokenizer)
    assert {path.name for path in folder.iterdir()} == needed
    if form == "shards":
        assert len(list(folder.glob("model-*.safetensors"))) > 1
    source = pretrained_weights(folder, "float32", "a remedy")
    assert set(source.sizes_bytes) == set(tensors)
    for name, expected in tensors.items():
        assert torch.equal(source.weight(name), expected)


def test_survived_the_hub_being_gone_once_the_cache_is_filled(serve, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    assert download(serve(Hub(SMALL)).url, folder).returncode == 0
    shutil.rmtree(folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = download("http://127.0.0.1:1", folder)
    assert done.returncode == 0, done.stdout
    assert (folder / "model.safetensors").read_bytes() == SMALL["model.safetensors"]


def test_survived_a_connection_that_is_lost_once(serve, tmp_path):
    hub = Hub(SMALL, cut_off_once_after_bytes={"model.safetensors": 10})
    folder = tmp_path / "model"
    done = download(serve(hub).url, folder)
    assert done.returncode == 0, done.stdout
    assert (folder / "model.safetensors").read_bytes() == SMALL["model.safetensors"]


@pytest.mark.parametrize("name", SMALL)
def test_a_wrong_hash_is_noticed_and_the_file_fetched_again(serve, name, tmp_path):
    hub = Hub(SMALL, corrupt={name})
    server = serve(hub)
    said = failure(server.url, tmp_path / "model")
    assert f"'{name}' of owner/model is not what the repository says" in said
    assert "deleted: run again" in said
    hub.corrupt.clear()
    done = download(server.url, tmp_path / "model")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "model" / name).read_bytes() == SMALL[name]


@pytest.mark.parametrize(
    ("hub", "message"),
    [
        (Hub(SMALL, missing={"config.json"}), "owner/model could not be downloaded"),
        (Hub(SMALL, gated={"model.safetensors"}), "owner/model is only for those whom"),
        (Hub({**CONFIG, **INDEX, FIRST: b"first"}), f"owner/model has no '{SECOND}'"),
        (
            Hub({"model.safetensors": SMALL["model.safetensors"]}),
            "owner/model has no 'config.json'",
        ),
        (Hub(CONFIG), "neither model.safetensors nor pytorch_model.bin"),
    ],
)
def test_what_a_repository_lacks_is_named(serve, hub, message, tmp_path):
    assert message in failure(serve(hub).url, tmp_path / "model")


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ({"revision": "f" * 40}, f"owner/model has no revision {'f' * 40}"),
        ({"repo": "owner/other"}, "no public model 'owner/other'"),
        ({"repo": "no/repository/name"}, "no public model 'no/repository/name'"),
    ],
)
def test_what_does_not_exist_is_named(serve, which, message, tmp_path):
    assert message in failure(serve(Hub(SMALL)).url, tmp_path / "model", **which)


@pytest.mark.thorough
def test_an_unreachable_endpoint_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    said = failure(url, tmp_path / "model")
    assert f"owner/model could not be downloaded from {url}" in said
    assert "HF_ENDPOINT" in said
