"""Downloading for real, over HTTP, from a Hub of our own on loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import save_file

from hub_server import REPO, REVISION, Hub
from semgap.model.sources import pretrained_weights
from semgap.model.weights import map_weights
from small_models import PROJECT

SCRIPT = PROJECT / "scripts" / "download_model.py"


@pytest.fixture(scope="module")
def checkpoints(gptj, tmp_path_factory):
    """The same model as a repository would have it: in one file, in shards, as PyTorch file."""
    folder, manifest = gptj
    names = [tensor.name for tensor in manifest.tensors]
    tensors = {
        name: tensor.clone()
        for name, tensor in zip(names, map_weights(folder, manifest), strict=True)
    }
    work = tmp_path_factory.mktemp("checkpoints")
    config = (folder / "config.json").read_bytes()
    extra = {"config.json": config, "README.md": b"# A model", "modeling_x.py": b"raise SystemExit"}

    def saved(part):
        save_file(part, work / "x.safetensors", metadata={"format": "pt"})
        return (work / "x.safetensors").read_bytes()

    halves = names[: len(names) // 2], names[len(names) // 2 :]
    shards = [f"model-{number:05d}-of-00002.safetensors" for number in (1, 2)]
    torch.save(tensors, work / "pytorch_model.bin")
    weight_map = {name: shards[index] for index in (0, 1) for name in halves[index]}
    return {
        "safetensors": {
            **extra,
            "model.safetensors": saved(tensors),
            "pytorch_model.bin": b"never fetched",
        },
        "shards": {
            **extra,
            "model.safetensors.index.json": json.dumps(
                {"metadata": {}, "weight_map": weight_map}
            ).encode(),
            **{
                shard: saved({name: tensors[name] for name in half})
                for shard, half in zip(shards, halves, strict=True)
            },
        },
        "pytorch": {**extra, "pytorch_model.bin": (work / "pytorch_model.bin").read_bytes()},
    }


def download(url, folder, repo=REPO, revision=REVISION):
    """Run the script as its rule does."""
    return subprocess.run(
        [sys.executable, SCRIPT, "--repo", repo, "--revision", revision, "--folder", folder],
        env={**os.environ, "HF_ENDPOINT": url, "HF_HUB_DISABLE_TELEMETRY": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("form", ["safetensors", "shards", "pytorch"])
def test_a_model_arrives_and_is_the_same(form, checkpoints, gptj, tmp_path):
    server = Hub(checkpoints[form]).start()
    done = download(server.url, tmp_path / "model")
    assert done.returncode == 0, done.stdout
    arrived = {path.name for path in (tmp_path / "model").iterdir()}
    unwanted = {"README.md", "modeling_x.py"}
    if form == "safetensors":
        unwanted.add("pytorch_model.bin")
    assert arrived == set(checkpoints[form]) - unwanted
    folder, manifest = gptj
    source = pretrained_weights(tmp_path / "model", "float32")
    for tensor, expected in zip(manifest.tensors, map_weights(folder, manifest), strict=True):
        assert torch.equal(source.weight(tensor.name), expected)


def test_a_download_that_broke_off_is_resumed(tmp_path):
    first, second = "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"
    files = {
        "config.json": b"{}",
        "pytorch_model.bin.index.json": json.dumps(
            {"weight_map": {"a": first, "b": second}}
        ).encode(),
        first: b"first",
        second: os.urandom(25_000_000),
    }
    hub = Hub(files, cut_off_after_bytes={second: 21_000_000})
    server = hub.start()
    done = download(server.url, tmp_path / "model")
    assert done.returncode != 0
    assert "broke off" in done.stdout
    assert "run again: what is there is kept" in done.stdout
    assert not (tmp_path / "model").exists()

    hub.cut_off_after_bytes.clear()
    hub.requests.clear()
    done = download(server.url, tmp_path / "model")
    assert done.returncode == 0, done.stdout
    spans = {
        path.rpartition("/")[2]: span for method, path, span in hub.requests if method == "GET"
    }
    assert int(spans[second].removeprefix("bytes=").removesuffix("-")) > 10_000_000
    assert first not in spans
    assert (tmp_path / "model" / second).read_bytes() == files[second]


def test_a_wrong_hash_is_noticed_and_the_file_fetched_again(checkpoints, tmp_path):
    hub = Hub(checkpoints["safetensors"], corrupt={"model.safetensors"})
    server = hub.start()
    done = download(server.url, tmp_path / "model")
    assert done.returncode != 0
    assert "'model.safetensors' of owner/model is not what the repository says" in done.stdout
    hub.corrupt.clear()
    assert download(server.url, tmp_path / "model").returncode == 0


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_listed_file_that_is_missing_is_named(name, checkpoints, tmp_path):
    server = Hub(checkpoints["safetensors"], missing={name}).start()
    done = download(server.url, tmp_path / "model")
    assert done.returncode != 0
    assert name in done.stdout
    assert "cannot be had" in done.stdout


def test_a_repository_without_a_configuration_is_refused(checkpoints, tmp_path):
    files = {key: value for key, value in checkpoints["pytorch"].items() if key != "config.json"}
    done = download(Hub(files).start().url, tmp_path / "model")
    assert "has no 'config.json'" in done.stdout


def test_a_repository_without_weights_is_refused(tmp_path):
    done = download(Hub({"config.json": b"{}"}).start().url, tmp_path / "model")
    assert "neither model.safetensors nor pytorch_model.bin" in done.stdout


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ({"revision": "f" * 40}, f"owner/model has no revision {'f' * 40}"),
        ({"repo": "owner/other"}, "no public model 'owner/other'"),
    ],
)
def test_what_does_not_exist_is_named(which, message, checkpoints, tmp_path):
    server = Hub(checkpoints["pytorch"]).start()
    done = download(server.url, tmp_path / "model", **which)
    assert done.returncode != 0
    assert message in done.stdout


def test_an_unreachable_endpoint_fails_soon(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    begin_s = time.monotonic()
    done = download(f"http://127.0.0.1:{port}", tmp_path / "model")
    assert done.returncode != 0
    assert "broke off" in done.stdout
    assert time.monotonic() - begin_s < 60
