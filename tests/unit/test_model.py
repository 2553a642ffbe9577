"""Models: seeded weights, stored files, manifests."""

import hashlib
import json
import math
import os
import time

import msgspec
import pytest
import torch

from semgap.errors import ConfigError, ModelError
from semgap.model.prompt import seeded_prompt
from semgap.model.sources import pretrained_weights, seeded_weight, seeded_weights, store_weights
from semgap.model.weights import check_weight_files, map_weights, shard_plan
from small_models import store_small_model

CPU = torch.device("cpu")


def splitmix_reference(index: int, key: int) -> float:
    """The same generator in Python's integers."""
    mask = (1 << 64) - 1
    state = (index * 0x9E3779B97F4A7C15 + key) & mask
    state ^= state >> 30
    state = (state * 0xBF58476D1CE4E5B9) & mask
    return (state >> 40) * 2.0**-24 - 0.5


def test_seeded_weights_follow_their_definition():
    digest = hashlib.sha256(b"7:layer.weight").digest()
    key = int.from_bytes(digest[:8], "little")
    weight = seeded_weight("layer.weight", torch.Size((3, 5)), torch.float32, 7, CPU)
    expected = [splitmix_reference(index, key) * 0.02 * math.sqrt(12) for index in range(15)]
    torch.testing.assert_close(
        weight.flatten(), torch.tensor(expected, dtype=torch.float32), rtol=1e-6, atol=0
    )


def test_seeded_weights_have_the_stated_spread():
    weight = seeded_weight("w.weight", torch.Size((600, 1000)), torch.float32, 0, CPU)
    assert abs(float(weight.mean())) < 1e-4
    assert float(weight.std()) == pytest.approx(0.02, rel=0.01)


def test_seeded_weights_are_the_same_however_many_threads_make_them(monkeypatch):
    """A tensor of several chunks, whose last one is not full."""
    shape = torch.Size((3, 200_001))
    made = []
    for threads in (1, 3):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid, n=threads: set(range(n)))
        made.append(seeded_weight("w.weight", shape, torch.float16, 5, CPU))
    assert torch.equal(*made)
    key = int.from_bytes(hashlib.sha256(b"5:w.weight").digest()[:8], "little")
    for index in (0, (1 << 18) - 1, 1 << 18, 600_002):
        expected = splitmix_reference(index, key) * 0.02 * math.sqrt(12)
        assert float(made[0].flatten()[index]) == pytest.approx(expected, rel=1e-3)


def test_seeded_weights_depend_on_seed_and_name():
    shape = torch.Size((4, 4))
    weights = [
        seeded_weight(name, shape, torch.float32, seed, CPU)
        for name, seed in (("a.weight", 0), ("a.weight", 1), ("b.weight", 0))
    ]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_same_seed_gives_the_same_manifest(tmp_path, gptj):
    _, again = store_small_model("gptj", tmp_path)
    assert msgspec.structs.replace(again, weights_id=gptj[1].weights_id) == gptj[1]


def test_the_manifest_says_the_shapes(gptj):
    _, manifest = gptj
    assert len(manifest.kv_cache) == 2 * 2
    assert manifest.kv_cache_bytes(7) == 7 * 2 * 2 * 64 * 4
    assert manifest.logits_bytes_per_position == 500 * 4
    assert manifest.weights_bytes == sum(tensor.size_bytes for tensor in manifest.tensors)
    assert manifest.max_positions == 64
    assert not manifest.pretrained


def test_grouped_queries_shrink_the_kv_cache(tmp_path):
    _, manifest = store_small_model("llama-grouped-query", tmp_path)
    assert manifest.kv_cache_bytes(1) == 2 * 2 * (2 * 16) * 4


def test_tied_weights_are_stored_once(tmp_path):
    _, manifest = store_small_model("gpt2-tied", tmp_path)
    embeddings = [tensor for tensor in manifest.tensors if tensor.shape == (500, 64)]
    assert len(embeddings) == 1


def test_a_checkpoint_is_cast_and_stored(stored_model, tmp_path):
    folder, manifest = stored_model
    source = pretrained_weights(folder, "float16", "a remedy")
    store_weights(source, tmp_path / "half")
    names = [tensor.name for tensor in manifest.tensors]
    assert list(source.sizes_bytes) == names
    original = dict(zip(names, map_weights(folder, manifest), strict=True))
    for name in names:
        assert torch.equal(source.weight(name), original[name].half())


def test_a_pytorch_checkpoint_is_read(gptj, tmp_path):
    folder, manifest = gptj
    names = [tensor.name for tensor in manifest.tensors]
    tensors = {
        name: tensor.clone()
        for name, tensor in zip(names, map_weights(folder, manifest), strict=True)
    }
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    source = pretrained_weights(tmp_path, "float32", "a remedy")
    assert all(torch.equal(source.weight(name), tensors[name]) for name in names)


class Payload:
    """Would create a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_malicious_checkpoint_runs_nothing(gptj, tmp_path):
    folder, _ = gptj
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    torch.save(
        {"transformer.wte.weight": Payload(tmp_path / "owned")}, tmp_path / "pytorch_model.bin"
    )
    with pytest.raises(ModelError, match="cannot be read"):
        pretrained_weights(tmp_path, "float32", "a remedy")
    assert not (tmp_path / "owned").exists()


def test_a_checkpoint_that_lacks_a_tensor_is_refused(gptj, tmp_path):
    folder, manifest = gptj
    names = [tensor.name for tensor in manifest.tensors]
    tensors = dict(zip(names, map(torch.clone, map_weights(folder, manifest)), strict=True))
    del tensors["transformer.wte.weight"]
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(ModelError, match=r"transformer\.wte\.weight"):
        pretrained_weights(tmp_path, "float32", "a remedy")


def test_a_cut_off_weight_file_is_named(tmp_path):
    folder, manifest = store_small_model("gptj", tmp_path)
    file = folder / manifest.files[0].name
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match=file.name):
        map_weights(folder, manifest)


def test_a_corrupt_checkpoint_is_an_error_with_a_remedy(tmp_path):
    folder, manifest = store_small_model("gptj", tmp_path)
    (folder / manifest.files[0].name).write_bytes(b"\xff" * 1000)
    with pytest.raises(ModelError, match="cannot be read"):
        pretrained_weights(folder, "float32", "a remedy")


def test_an_unknown_architecture_is_an_error():
    with pytest.raises(ModelError, match="no model configuration"):
        seeded_weights(json.dumps({"model_type": "abacus"}), "float32", 0)


def test_shards_hold_at_most_two_gigabytes():
    sizes = {"a": 1_500_000_000, "b": 400_000_000, "c": 200_000_000, "d": 3_000_000_000}
    assert shard_plan(sizes) == [["a", "b"], ["c"], ["d"]]


def test_a_prompt_is_reproducible(gptj):
    _, manifest = gptj
    assert seeded_prompt(manifest, 10, 0, 3) == seeded_prompt(manifest, 10, 0, 3)
    assert seeded_prompt(manifest, 10, 0, 3) != seeded_prompt(manifest, 10, 0, 4)


def test_a_prompt_beyond_the_context_is_refused(gptj):
    _, manifest = gptj
    with pytest.raises(
        ConfigError, match=r"tokens \(60\) \+ workload.decode_steps \(5\).*context.*holds 64"
    ):
        seeded_prompt(manifest, 60, 5, 0)


def test_weights_that_changed_are_named_when_they_are_used_and_before_publishing(tmp_path):
    folder, manifest = store_small_model("gptj", tmp_path)
    described_ns = time.time_ns()
    (file,) = folder.glob("*.safetensors")
    check_weight_files(folder, manifest)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    for changed_after_ns in (described_ns, 0):
        with pytest.raises(ModelError, match="is not the one that the manifest describes"):
            check_weight_files(folder, manifest, changed_after_ns)
    os.utime(file, ns=(described_ns - 1, described_ns - 1))
    check_weight_files(folder, manifest, described_ns)
    with pytest.raises(ModelError, match="Delete"):
        check_weight_files(folder, manifest)
