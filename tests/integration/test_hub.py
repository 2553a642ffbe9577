"""Downloading for real, over HTTP, from a Hub of our own on loopback."""

import contextlib
import json
import os
import socket
import subprocess
import sys

import pytest
import torch
import transformers

from hub_server import REPO, REVISION, Hub
from patience import PATIENCE_S
from semgap.model.obtaining.sources import pretrained_weights
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


def gets(hub):
    """Range header of each file that was asked for."""
    return {path.rpartition("/")[2]: span for method, path, span in hub.requests if method == "GET"}


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
    if form in ("safetensors", "shards"):
        unwanted["pytorch_model.bin"] = b"never fetched"
    folder = tmp_path / "model"
    done = download(serve(Hub({**forms[form], **unwanted})).url, folder)
    assert done.returncode == 0, done.stdout
    needed = {name for name in forms[form] if name != "generation_config.json"}
    assert {path.name for path in folder.iterdir()} == needed
    if form == "shards":
        assert len(list(folder.glob("model-*.safetensors"))) > 1
    source = pretrained_weights(folder, "float32", "a remedy")
    assert set(source.sizes_bytes) == set(tensors)
    for name, expected in tensors.items():
        assert torch.equal(source.weight(name), expected)


def test_a_second_call_fetches_nothing(serve, tmp_path):
    hub = Hub({**SMALL, "README.md": b"# A model"})
    server = serve(hub)
    for _ in range(2):
        done = download(server.url, tmp_path / "model")
        assert done.returncode == 0, done.stdout
    asked = [path for _, path, _ in hub.requests if "/resolve/" in path]
    assert len(asked) == len(set(asked)) == 2


def test_a_download_that_broke_off_is_resumed(serve, tmp_path):
    files = {**CONFIG, **INDEX, FIRST: b"first", SECOND: os.urandom(25_000_000)}
    hub = Hub(files, cut_off_after_bytes={SECOND: 21_000_000})
    server = serve(hub)
    folder = tmp_path / "model"
    said = failure(server.url, folder)
    assert f"'{SECOND}' of {REPO} could not be downloaded" in said
    assert "run again: what is there is kept" in said

    hub.cut_off_after_bytes.clear()
    hub.requests.clear()
    done = download(server.url, folder)
    assert done.returncode == 0, done.stdout
    spans = gets(hub)
    assert int(spans[SECOND].removeprefix("bytes=").removesuffix("-")) > 10_000_000
    assert not {"config.json", FIRST, *INDEX} & set(spans)
    assert (folder / SECOND).read_bytes() == files[SECOND]


def test_a_connection_lost_once_is_taken_up_again(serve, tmp_path):
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
    hub.requests.clear()
    done = download(server.url, tmp_path / "model")
    assert done.returncode == 0, done.stdout
    assert gets(hub)[name] == ""


@pytest.mark.parametrize(
    ("hub", "message"),
    [
        (
            Hub(SMALL, missing={"config.json"}),
            "'config.json' of owner/model could not be downloaded",
        ),
        (Hub(SMALL, gated={"model.safetensors"}), "'model.safetensors' of owner/model is only"),
        (Hub({**CONFIG, FIRST: b"first"}), f"owner/model has no '{next(iter(INDEX))}'"),
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


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")  # noqa: PTH110
def test_a_full_disk_is_named(serve, tmp_path):
    partial = tmp_path / "model.partial"
    partial.mkdir()
    (partial / "model.safetensors").symlink_to("/dev/full")
    said = failure(serve(Hub(SMALL)).url, tmp_path / "model")
    assert "no room left on the disk for 'model.safetensors' of owner/model" in said


def test_an_unreachable_endpoint_fails_soon(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    said = failure(url, tmp_path / "model")
    assert f"The list of files of owner/model could not be downloaded from {url}" in said
    assert "HF_ENDPOINT" in said
