"""Describes a stored model: sizes, hashes, and the tensor shapes that determine its traffic."""

import hashlib
import math
from pathlib import Path

import torch

from semgap.errors import ModelError
from semgap.model.manifest import Manifest, WeightTensor
from semgap.model.model_settings import ModelSettings
from semgap.model.skeleton import ModelSkeleton, kv_cache_tensors
from semgap.model.weights import CONFIG_FILE, describe_file, map_safetensors

_REMEDY = "Delete the folder and run again: it is made anew."


def describe_model(folder: Path, settings: ModelSettings) -> Manifest:
    """Describe the model stored in ``folder``.

    The keys of a configuration differ between architectures, so a forward pass on the meta device
    gives the KV cache's shape.

    Raises:
        ModelError: files are missing or corrupt, or do not fit the architecture or dtype.
    """
    try:
        model_config = (folder / CONFIG_FILE).read_text()
    except FileNotFoundError:
        raise ModelError(f"'{folder}' holds no {CONFIG_FILE}.", _REMEDY) from None
    dtype: torch.dtype = getattr(torch, settings.dtype)
    skeleton = ModelSkeleton(model_config, dtype, torch.device("meta"))
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
    kv_cache, logits = _shapes_of_a_pass(skeleton)
    files = tuple(describe_file(path) for path in paths)
    digest = hashlib.sha256(f"{model_config}\n{settings.dtype}\n".encode())
    digest.update("\n".join(f"{file.name} {file.sha256}" for file in files).encode())
    return Manifest(
        name=settings.name,
        origin=settings.origin,
        pretrained=settings.weights != "seeded",
        dtype=settings.dtype,
        parameters=sum(parameter.numel() for parameter in skeleton.module.parameters()),
        weights_bytes=sum(tensor.nbytes for tensor in skeleton.weights.values()),
        kv_cache_tensors=len(kv_cache),
        kv_cache_bytes_per_token=sum(tensor.nbytes for tensor in kv_cache),
        logits_bytes_per_position=logits.nbytes,
        vocabulary_size=logits.shape[-1],
        max_positions=int(skeleton.config.get_text_config().max_position_embeddings),
        weights_id=folder.parent.name,
        fingerprint=digest.hexdigest(),
        model_config=model_config,
        tensors=tuple(
            WeightTensor(name, tuple(tensor.shape), math.prod(tensor.shape) * dtype.itemsize)
            for name, tensor in skeleton.weights.items()
        ),
        files=files,
    )


def _shapes_of_a_pass(skeleton: ModelSkeleton) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    """The KV cache and the logits of a pass over one token, without content."""
    token = torch.zeros((1, 1), dtype=torch.int64, device="meta")
    with torch.inference_mode():
        output = skeleton.module(input_ids=token, use_cache=True, logits_to_keep=1)
    return kv_cache_tensors(output.past_key_values), output.logits
