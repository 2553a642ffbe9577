"""Weights made from a seed: the same bits on every device and in every version of PyTorch."""

import contextlib
import hashlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from semgap.plumbing.threads import in_threads

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
