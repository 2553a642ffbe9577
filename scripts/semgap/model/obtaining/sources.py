"""Where weights come from, a folder in the Hub's form or a seed, and how they are stored."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from semgap.errors import ModelError
from semgap.model.obtaining.seeded import seeded_weight
from semgap.model.skeleton import ModelSkeleton
from semgap.model.weights import CONFIG_FILE, write_shards
from semgap.plumbing.files import write_atomically

log = logging.getLogger(__name__)

_REMEDY = "Check the folder, or delete it and let it be downloaded again."


@dataclass(frozen=True)
class WeightSource:
    """A model's weights, each made or read on demand."""

    model_config: str  # the transformers configuration as JSON
    sizes_bytes: Mapping[str, int]  # size of each tensor of the state dict, in the order of sending
    # returns a tensor of the state dict on the CPU, in the source's dtype
    weight: Callable[[str], Tensor]


def store_weights(source: WeightSource, folder: Path) -> None:
    """Write config.json and safetensors shards."""
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob("*.safetensors*"):
        leftover.unlink()
    for file_name in write_shards(folder, source.sizes_bytes, source.weight):
        log.info("wrote %s", file_name)
    write_atomically(folder / CONFIG_FILE, source.model_config.encode())


def seeded_weights(architecture: str, dtype: str, seed: int) -> WeightSource:
    """Weights made from a seed for an architecture.

    Args:
        architecture: a transformers configuration as JSON, ``model_type`` included.

    Raises:
        ModelError: transformers knows no such architecture.
    """
    cpu = torch.device("cpu")
    skeleton = ModelSkeleton(architecture, getattr(torch, dtype), cpu)
    return _source(
        skeleton,
        lambda name: seeded_weight(name, skeleton.weights[name].shape, skeleton.dtype, seed, cpu),
    )


def pretrained_weights(folder: Path, dtype: str) -> WeightSource:
    """Weights of a folder with ``config.json`` and safetensors or PyTorch files, cast to ``dtype``.

    transformers maps a checkpoint's names to the architecture's. PyTorch files are only read with
    ``weights_only=True``, and no code of the folder is run.

    Raises:
        ModelError: files are missing, corrupt, or do not hold all weights of the architecture.
    """
    if not (folder / CONFIG_FILE).exists():
        raise ModelError(f"'{folder}' holds no {CONFIG_FILE}.", _REMEDY)
    try:
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            output_loading_info=True,
        )
    except Exception as error:
        # safetensors, pickle and zipfile raise many types of error for a corrupt file.
        raise ModelError(f"The model in '{folder}' cannot be read: {error}.", _REMEDY) from error
    model, loading = loaded
    incomplete = sorted({*loading["missing_keys"], *map(str, loading["mismatched_keys"])})
    if incomplete:
        raise ModelError(
            f"The weight files in '{folder}' lack {len(incomplete)} tensors of the architecture, "
            f"among them '{incomplete[0]}'.",
            _REMEDY,
        )
    skeleton = ModelSkeleton(
        model.config.to_json_string(use_diff=False), getattr(torch, dtype), torch.device("cpu")
    )
    state_dict = model.state_dict()
    return _source(skeleton, lambda name: state_dict[name].contiguous())


def _source(skeleton: ModelSkeleton, weight: Callable[[str], Tensor]) -> WeightSource:
    config = skeleton.config.to_dict()
    # The same model must have the same fingerprint under every version of transformers.
    config.pop("transformers_version", None)
    return WeightSource(
        model_config=json.dumps(config, indent=2, sort_keys=True),
        sizes_bytes={name: tensor.nbytes for name, tensor in skeleton.weights.items()},
        weight=weight,
    )
