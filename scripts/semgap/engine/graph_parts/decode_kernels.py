"""The parts of a decode step on a GPU, each of which is one kernel.

A step over one new position multiplies matrices with a vector, so it is bound by reading the
weights once. Between two products of PyTorch's the memory is idle, while small operators compute
what is between. Here that is part of the products: a norm before, an activation or a sum behind.
"""

import contextlib
import importlib.util
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from semgap.errors import ModelError

# Of those tried on an H200, the ones with which GPT-J 6B's step was fastest.
_ROWS = 4
_COLUMNS = 2048
_PROGRAMS_PER_MULTIPROCESSOR = 5
_WARPS = 4
_KEYS = 128
_ATTENTION_WARPS = 8
# A program attends for each head: to more keys, PyTorch's attention is faster.
MOST_KEYS = 512


class Norm(NamedTuple):
    """A layer norm, or where nothing is added a root-mean-square norm."""

    scale: Tensor
    eps: float
    shift: Tensor | None = None


class Rotary(NamedTuple):
    """Turns pairs of a head's numbers: ``x * cosines + x[other of the pair] * sines``."""

    cosines: Tensor  # shape (positions, numbers of a head that are turned)
    sines: Tensor  # with the sign that the number's place in the pair asks for
    apart: int  # the distance of a pair's numbers, a power of two


class DecodeKernels:
    """Kernels on the current stream of a GPU; all tensors are contiguous.

    Raises:
        ModelError: Triton, or the C compiler that it calls, is not there.
    """

    def __init__(self, device: torch.device) -> None:
        if importlib.util.find_spec("triton") is None:
            raise _unusable("Triton is not installed")
        from semgap.engine.graph_parts import triton_kernels

        self._kernels = triton_kernels
        properties = torch.cuda.get_device_properties(device)
        self._at_most = _PROGRAMS_PER_MULTIPROCESSOR * properties.multi_processor_count
        self._beside = torch.cuda.Stream(device)
        x = torch.zeros(1, device=device)
        try:
            self.added_product(x, x[None], x, x.clone())
        except Exception as error:
            # What of Triton, its compiler or the driver fails is their own affair.
            raise _unusable(f"Triton cannot compile: {type(error).__name__}: {error}") from error

    def normed_product(
        self,
        x: Tensor,
        norm: Norm,
        weight: Tensor,
        out: Tensor,
        bias: Tensor | None = None,
        gelu: bool = False,
    ) -> None:
        """Write to ``out`` the product of a matrix and what a norm makes of ``x``.

        Args:
            weight: shape (rows, width), or where ``out`` has half as many numbers, two matrices:
                what the first makes, by SiLU, is multiplied with what the second makes.
            gelu: whether ``out`` is GELU, by tanh, of it.
        """
        rows, width = out.numel(), weight.shape[1]
        self._kernels.normed_product[self._programs(rows)](
            *(x, norm.scale, norm.shift, norm.eps, weight, bias, out, rows),
            WIDTH=width,
            PADDED=_power_of_two(width),
            ROWS=_ROWS,
            CENTRED=norm.shift is not None,
            BIASED=bias is not None,
            GELU=gelu,
            GATED=weight.shape[0] == 2 * rows,
            num_warps=_WARPS,
        )

    def added_product(
        self, x: Tensor, weight: Tensor, residual: Tensor, out: Tensor, bias: Tensor | None = None
    ) -> None:
        """Write to ``out`` the product of a matrix and ``x``, added to ``residual``."""
        rows, width = weight.shape
        self._kernels.added_product[self._programs(rows)](
            *(x, weight, bias, residual, out, rows),
            WIDTH=width,
            COLUMNS=_COLUMNS,
            ROWS=_ROWS,
            BIASED=bias is not None,
            num_warps=_WARPS,
        )

    def attention(
        self, made: Tensor, rotary: Rotary, position: Tensor, memory: Tensor, out: Tensor
    ) -> None:
        """Attend from a new position to those before it and to itself.

        Args:
            made: query, key and value of all heads, one behind the other.
            position: int64, shape (1,).
            memory: shape (keys and values, 1, key heads, capacity, head size), a power of two; the
                new key and value are written to it.
            out: shape (heads × head size,).
        """
        key_heads, capacity, head_size = memory.shape[2:]
        heads = out.numel() // head_size
        self._kernels.one_query_attention[(heads,)](
            *(made, rotary.cosines, rotary.sines, position, memory[0], memory[1], out),
            *(heads, capacity, head_size**-0.5),
            SHARED=heads // key_heads,
            SIZE=rotary.cosines.shape[1],
            HEAD=head_size,
            APART=rotary.apart,
            KEYS=_KEYS,
            num_warps=_ATTENTION_WARPS,
        )

    @contextlib.contextmanager
    def beside(self) -> Iterator[None]:
        """Begin a kernel beside those that follow, until ``join``."""
        self._beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._beside):
            yield

    def join(self) -> None:
        """Let what follows wait for what was begun beside."""
        torch.cuda.current_stream().wait_stream(self._beside)

    def _programs(self, rows: int) -> tuple[int]:
        return (min(-(-rows // _ROWS), self._at_most),)


def has_kernels_for(head_size: int) -> bool:
    """Whether the attention's kernel takes heads of this size."""
    return head_size == _power_of_two(head_size)


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _unusable(what: str) -> ModelError:
    return ModelError(
        f"{what}, and the engine 'graph' computes decode steps with it on a GPU.",
        "Install a CUDA build of torch with the triton that it asks for, and a C compiler "
        "(Debian: gcc), or set worker.engine to 'eager'.",
    )
