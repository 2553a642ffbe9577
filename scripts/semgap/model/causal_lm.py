"""One forward pass of a transformers causal LM, whatever its arguments are called."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
import transformers
from torch import Tensor

from semgap.errors import ModelError

# State-space models call their cache otherwise.
_CACHE_ARGUMENTS = ("past_key_values", "cache_params")


def run_pass(
    module: transformers.PreTrainedModel,
    tokens: Tensor,
    cache: Any,
    logits_to_keep: int,
    more: Mapping[str, Tensor] | None = None,
) -> tuple[Tensor, Any]:
    """Run ``module`` over ``tokens`` (int64, shape (1, n)).

    Args:
        cache: the transformers cache of the passes before; None lets the model make its own.
        logits_to_keep: number of last positions to compute logits for; 0 means all.
        more: further arguments of the module, by name.

    Returns:
        Logits of shape (1, kept positions, vocabulary), and the cache.

    Raises:
        ModelError: the model gives no cache, so that each step would need all tokens again.
    """
    takes = arguments_of(type(module).forward)
    name = next((name for name in _CACHE_ARGUMENTS if name in takes), _CACHE_ARGUMENTS[0])
    keep = {"logits_to_keep": logits_to_keep} if "logits_to_keep" in takes else {}
    with torch.inference_mode():
        output = module(input_ids=tokens, use_cache=True, **{name: cache}, **keep, **(more or {}))
    if output.get(name) is None:
        raise ModelError(
            f"Models of type '{module.config.model_type}' return no cache from a forward pass, so "
            "a decode step cannot continue from the last one.",
            "Choose a model that decodes with a cache. Some encoders do, with is_decoder: true in "
            "their configuration.",
        )
    return output.logits[:, -logits_to_keep:], output[name]


@functools.cache
def arguments_of(forward: Callable[..., Any]) -> frozenset[str]:
    """Names of a function's arguments."""
    return frozenset(inspect.signature(forward).parameters)
