"""Describes a stored model: sizes, hashes, and the tensor shapes that determine its traffic."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semgap.errors import ModelError
from semgap.model.cache_form import cache_tensors, slots_of, window_of
from semgap.model.causal_lm import run_pass
from semgap.model.manifest import CacheTensor, GgufFile, Manifest, WeightTensor
from semgap.model.model_settings import ModelSettings
from semgap.model.skeleton import ModelSkeleton
from semgap.model.sources import GGUF_RECORD
from semgap.model.weights import CONFIG_FILE, describe_file, map_safetensors
from semgap.plumbing.files import read_record
from semgap.plumbing.limits import in_threads

_REMEDY = "Delete the folder and run again: it is made anew."
_PREFILL_POSITIONS = 2
# What architectures call their context length. BLOOM's seq_length is no limit.
_CONTEXT_KEYS = ("max_position_embeddings", "max_seq_len", "n_ctx", "context_length")


def describe_model(folder: Path, settings: ModelSettings) -> Manifest:
    """Describe the model stored in ``folder``.

    The keys of a configuration differ between architectures, so forward passes of the model on the
    CPU give the KV cache's form.

    Raises:
        ModelError: files are missing or corrupt, or do not fit the architecture or dtype; the model
            has no cache that can be sent.
    """
    try:
        model_config = (folder / CONFIG_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ModelError(f"'{folder}' holds no {CONFIG_FILE}.", _REMEDY) from None
    dtype: torch.dtype = getattr(torch, settings.dtype)
    skeleton = ModelSkeleton(model_config, dtype, torch.device("cpu"))
    paths = sorted(folder.glob("*.safetensors"))
    stored = {name: tensor for path in paths for name, tensor in map_safetensors(path)}
    for name, needed in skeleton.weights.items():
        tensor = stored.get(name)
        if tensor is None or tensor.shape != needed.shape or tensor.dtype != needed.dtype:
            raise ModelError(
                f"The weights in '{folder}' do not fit their config.json: '{name}' is "
                f"{'missing' if tensor is None else (tuple(tensor.shape), tensor.dtype)}, needed "
                f"is {tuple(needed.shape)} {needed.dtype}.",
                _REMEDY,
            )
    # Binding makes a parameter of its own for each place of a tied one.
    parameters = sum(parameter.numel() for parameter in skeleton.module.parameters())
    skeleton.bind(list(skeleton.weights), [stored[name] for name in skeleton.weights])
    kv_cache, logits = _cache_and_logits(skeleton)
    files = tuple(in_threads(describe_file, paths))
    packed = folder / GGUF_RECORD
    digest = hashlib.sha256(f"{model_config}\n{settings.dtype}\n".encode())
    digest.update("\n".join(f"{file.name} {file.sha256}" for file in files).encode())
    return Manifest(
        name=settings.name,
        origin=settings.origin,
        pretrained=settings.weights != "seeded",
        dtype=settings.dtype,
        parameters=parameters,
        weights_bytes=sum(tensor.nbytes for tensor in skeleton.weights.values()),
        kv_cache=kv_cache,
        logits_bytes_per_position=logits.nbytes,
        vocabulary_size=logits.shape[-1],
        max_positions=_context_length(skeleton.config),
        weights_id=folder.parent.name,
        fingerprint=digest.hexdigest(),
        model_config=model_config,
        tensors=tuple(
            WeightTensor(name, tuple(tensor.shape), tensor.nbytes)
            for name, tensor in skeleton.weights.items()
        ),
        files=files,
        dequantised_from=read_record(packed, GgufFile) if packed.exists() else None,
    )


def _cache_and_logits(skeleton: ModelSkeleton) -> tuple[tuple[CacheTensor, ...], Tensor]:
    """The KV cache's form, and the logits of one position, from two passes."""
    tokens = torch.zeros((1, _PREFILL_POSITIONS), dtype=torch.int64)
    _, cache = run_pass(skeleton.module, tokens, None, 1)
    slots = slots_of(cache)
    before = [tensor.nbytes for tensor in cache_tensors(cache, slots)]
    logits, cache = run_pass(skeleton.module, tokens[:, :1], cache, 1)
    after = [tensor.nbytes for tensor in cache_tensors(cache, slots)]
    return tuple(
        CacheTensor(
            name=slot.name,
            fixed_bytes=size_bytes - (grown_bytes - size_bytes) * _PREFILL_POSITIONS,
            bytes_per_position=grown_bytes - size_bytes,
            most_positions=window_of(cache, slot),
        )
        for slot, size_bytes, grown_bytes in zip(slots, before, after, strict=True)
    ), logits


def _context_length(config: Any) -> int | None:
    """The most positions of a sequence; models with relative positions may have no limit."""
    text_config = config.get_text_config()
    for key in _CONTEXT_KEYS:
        if isinstance(positions := getattr(text_config, key, None), int):
            return positions
    return None
