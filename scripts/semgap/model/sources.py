"""Where weights come from, a folder or a seed, and how they are stored."""

import contextlib
import hashlib
import io
import json
import logging
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import torch
import transformers
from torch import Tensor

from semgap.errors import ModelError
from semgap.model.manifest import GgufFile
from semgap.model.model_settings import gguf_file, tokenizer_files
from semgap.model.skeleton import ModelSkeleton, check_config_values
from semgap.model.weights import CONFIG_FILE, write_shards
from semgap.plumbing.files import digest_of, write_atomically, write_record
from semgap.plumbing.limits import in_threads

log = logging.getLogger(__name__)

# Beside stored weights, if they are from a GGUF file: a GgufFile.
GGUF_RECORD = "dequantised_from.json"

# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
_LFS_POINTER = b"version https://git-lfs"


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


def store_origin(source: Path, folder: Path, sha256: str | None) -> None:
    """Keep a source's tokenizer beside its stored weights, and say what they were unpacked of.

    Args:
        sha256: what a GGUF file has to be; None takes any.

    Raises:
        ModelError: the GGUF file is another one.
    """
    packed = gguf_file(source)
    if packed is None:
        for file in tokenizer_files(source):
            shutil.copyfile(file, folder / Path(file).name)
        return
    formats = Counter(tensor.tensor_type.name for tensor in gguf.GGUFReader(packed).tensors)
    described = GgufFile(packed.name, digest_of(packed), dict(formats.most_common()))
    if sha256 not in (None, described.sha256):
        raise ModelError(
            f"'{packed}' is not the file that the configuration names: its SHA-256 is "
            f"{described.sha256}, expected is {sha256}.",
            f"Delete '{source}' and run again: it is downloaded anew.",
        )
    write_record(folder / GGUF_RECORD, described)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            source, gguf_file=packed.name, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        # A prompt of random tokens needs none, and each kind raises errors of its own.
        log.warning("transformers cannot read the tokenizer of '%s': %s", packed, error)
    else:
        tokenizer.save_pretrained(folder)


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
        lambda name: seeded_weight(
            name, skeleton.weights[name].shape, skeleton.weights[name].dtype, seed, cpu
        ),
    )


def pretrained_weights(folder: Path, dtype: str, remedy: str) -> WeightSource:
    """Weights of a folder with ``config.json`` and safetensors or PyTorch files, or a GGUF file.

    They are cast to ``dtype``, those of a GGUF file after they were dequantised.

    transformers maps a checkpoint's names to the architecture's.

    Args:
        remedy: what to do about a folder that cannot be read.

    Raises:
        ModelError: files are missing, corrupt, or do not hold all weights of the architecture.
    """
    model = load_pretrained(folder, dtype, remedy)
    skeleton = ModelSkeleton(
        model.config.to_json_string(use_diff=False), getattr(torch, dtype), torch.device("cpu")
    )
    state_dict = model.state_dict()
    return _source(skeleton, lambda name: state_dict[name].contiguous())


def load_pretrained(folder: Path, dtype: str, remedy: str) -> transformers.PreTrainedModel:
    """Load a causal LM as transformers does.

    PyTorch files are only read with ``weights_only=True``, and no code of the folder is run.

    Raises:
        ModelError: files are missing, corrupt, or do not hold all weights of the architecture.
    """
    packed = gguf_file(folder)
    if packed is None and not (folder / CONFIG_FILE).exists():
        raise ModelError(f"'{folder}' holds no {CONFIG_FILE}.", remedy)
    for file in sorted(folder.iterdir()):
        if file.is_file() and is_lfs_pointer(file):
            raise ModelError(
                f"'{file}' is a Git LFS pointer: the file itself was not fetched.",
                f"Run 'git lfs pull' in '{folder}', or copy the file there.",
            )
    if packed is None:
        check_config_values((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    transformers.utils.logging.disable_progress_bar()
    try:
        # Where tqdm draws the progress of unpacking.
        with contextlib.redirect_stderr(io.StringIO()):
            loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=getattr(torch, dtype),
                local_files_only=True,
                trust_remote_code=False,
                weights_only=True,
                gguf_file=packed and packed.name,
                output_loading_info=True,
                # Listed below, by name.
                ignore_mismatched_sizes=True,
            )
    except Exception as error:
        # safetensors, pickle and zipfile raise many types of error for a corrupt file.
        raise ModelError(f"The model in '{folder}' cannot be read: {error}.", remedy) from error
    model: transformers.PreTrainedModel
    model, loading = loaded
    incomplete = sorted({*loading["missing_keys"], *map(str, loading["mismatched_keys"])})
    if incomplete:
        raise ModelError(
            f"The weight files in '{folder}' lack {len(incomplete)} tensors of the architecture or "
            f"have them in another shape, among them '{incomplete[0]}'.",
            remedy,
        )
    return model


def is_lfs_pointer(file: Path) -> bool:
    """Whether a file only names the content that Git LFS would fetch."""
    with file.open("rb") as content:
        return content.read(len(_LFS_POINTER)) == _LFS_POINTER


def _source(skeleton: ModelSkeleton, weight: Callable[[str], Tensor]) -> WeightSource:
    config = skeleton.config.to_dict()
    # The same model must have the same fingerprint, whatever it was read with and from where.
    for key in ("transformers_version", "_model_name_or_path", "quantization_config"):
        config.pop(key, None)
    config["_name_or_path"] = ""
    return WeightSource(
        model_config=json.dumps(config, indent=2, sort_keys=True),
        sizes_bytes={name: tensor.nbytes for name, tensor in skeleton.weights.items()},
        weight=weight,
    )


# The standard deviation that GPT-J's and GPT-2's configurations name as initializer_range.
_STANDARD_DEVIATION = 0.02

# Multipliers of splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators,
# OOPSLA 2014), as signed 64-bit integers.
_GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX = 0xBF58476D1CE4E5B9 - (1 << 64)

# Small enough for the intermediate integers to stay in a processor's cache.
_CHUNK_ELEMENTS = 1 << 18


def seeded_weight(
    name: str, shape: torch.Size, dtype: torch.dtype, seed: int, device: torch.device
) -> Tensor:
    """Make one weight from its name and the seed.

    Matrices are uniform with mean 0 and standard deviation 0.02. Vectors are those of a fresh
    normalisation layer or bias: ones for ``weight``, zeros otherwise. Integers are hashed and
    scaled by a power of two, so no rounding depends on the device.

    Returns:
        A tensor of the given shape and dtype on ``device``.
    """
    if len(shape) < 2:
        fill = 1.0 if name.endswith("weight") else 0.0
        return torch.full(shape, fill, dtype=dtype, device=device)
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    key = int.from_bytes(digest[:8], "little", signed=True)
    weight = torch.empty(shape, dtype=dtype, device=device)
    flat = weight.view(-1)

    def set_chunk(begin: int) -> None:
        end = min(begin + _CHUNK_ELEMENTS, flat.numel())
        flat[begin:end] = _uniform(begin, end, key, device) * (
            _STANDARD_DEVIATION * math.sqrt(12.0)
        )

    with _operators_in_one_thread():
        in_threads(set_chunk, range(0, flat.numel(), _CHUNK_ELEMENTS))
    return weight


@contextlib.contextmanager
def _operators_in_one_thread() -> Iterator[None]:
    """A chunk is too small to be shared out: a thread for each is three times as fast."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _uniform(begin: int, end: int, key: int, device: torch.device) -> Tensor:
    """Float32 values in [-0.5, 0.5) for the counters ``begin`` … ``end - 1``."""
    state = torch.arange(begin, end, dtype=torch.int64, device=device)
    state.mul_(_GAMMA).add_(key)
    # The shift keeps the sign bit, which a mask of the remaining bits removes.
    state.bitwise_xor_((state >> 30) & ((1 << 34) - 1))
    state.mul_(_MIX)
    top_24_bits = (state >> 40) & ((1 << 24) - 1)
    return top_24_bits.to(torch.float32).mul_(2.0**-24).sub_(0.5)
