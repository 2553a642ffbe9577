"""A causal LM without weights: it computes only with the weights that are bound to it.

The module tree lives on PyTorch's meta device. Binding replaces its parameters and persistent
buffers with tensors; after their release, a forward pass raises an error instead of giving a wrong
answer.
"""

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from semgap.errors import ModelError

# What every architecture calls the sizes that its tensors are made of.
_SIZE_KEY = re.compile(
    "vocab_size|hidden_size|d_model|n_embd|num_hidden_layers|n_layers?|num_attention_heads|n_heads?"
    "|num_key_value_heads|max_position_embeddings|n_positions"
)


class _Slot(NamedTuple):
    """A place in the module tree that a tensor of the state dict fills."""

    tensors: dict[str, Any]
    attribute: str


@contextlib.contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """Build modules with real buffers and with parameters on the meta device.

    Non-persistent buffers (GPT-J's ``embed_positions``, Llama's ``inv_freq``) are computed by the
    modules' constructors, so they have to be built for real: they never cross the network.
    """

    def to_meta(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> Any:
        # A tied parameter is registered twice and must stay the same object.
        if parameter is None or parameter.is_meta:
            return parameter
        return nn.Parameter(parameter.to("meta"), requires_grad=False)

    handle = register_module_parameter_registration_hook(to_meta)
    try:
        yield
    finally:
        handle.remove()


class ModelSkeleton:
    """The architecture of a causal LM and the names of the weights it needs.

    Args:
        model_config: a transformers configuration as JSON.
        dtype: dtype of parameters and KV cache.
        device: where buffers live and passes run.

    Raises:
        ModelError: transformers cannot build a causal LM from the configuration.
    """

    def __init__(self, model_config: str, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype = dtype
        self.device = device
        check_config_values(model_config)
        self.config = parse_model_config(model_config)
        try:
            with _parameters_on_meta():
                self.module = transformers.AutoModelForCausalLM.from_config(
                    self.config, dtype=dtype, trust_remote_code=False
                )
        except Exception as error:
            # Which types of error a model's constructor raises for a wrong value is its own affair.
            raise ModelError(
                f"transformers cannot build a causal LM from this configuration: "
                f"{type(error).__name__}: {error}.",
                "Check the model's config.json, or model.architecture in the configuration.",
            ) from error
        self.module.eval()
        self._slots = _weight_slots(self.module)
        self.weights: dict[str, Tensor] = {
            name: _in_kept_dtype(self.module, name, slots[0].tensors[slots[0].attribute], dtype)
            for name, slots in self._slots.items()
        }
        self._unbound = set(self.weights)
        self._move_other_buffers()

    def bind(self, names: Sequence[str], tensors: Sequence[Tensor]) -> None:
        """Compute with these tensors from now on.

        Raises:
            ModelError: a name is unknown, or a tensor has another shape or dtype than it needs.
        """
        if len(names) != len(tensors):
            raise ModelError(
                f"{len(tensors)} weight tensors came where {len(names)} are needed.",
                "Send the complete state dict.",
            )
        for name, tensor in zip(names, tensors, strict=True):
            needed = self.weights.get(name)
            if needed is None or needed.shape != tensor.shape or needed.dtype != tensor.dtype:
                raise ModelError(
                    f"Weight '{name}' is {tuple(tensor.shape)} {tensor.dtype}; the architecture "
                    f"needs {'none' if needed is None else (tuple(needed.shape), needed.dtype)}.",
                    "Use weights that belong to the model's config.json.",
                )
            for slot in self._slots[name]:
                slot.tensors[slot.attribute] = _as_member(slot, tensor)
            self._unbound.discard(name)

    def release(self) -> None:
        """Forget all bound weights: the next pass without new ones is an error."""
        for name, slots in self._slots.items():
            for slot in slots:
                slot.tensors[slot.attribute] = _as_member(slot, self.weights[name])
        self._unbound = set(self.weights)

    def check_complete(self) -> None:
        """Raise ModelError if a weight is not bound."""
        if self._unbound:
            raise ModelError(
                f"{len(self._unbound)} weights are not there, among them '{min(self._unbound)}'.",
                "Send the complete state dict before or with the pass.",
            )

    def _move_other_buffers(self) -> None:
        persistent = {
            (id(slot.tensors), slot.attribute) for slots in self._slots.values() for slot in slots
        }
        for module in self.module.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None and (id(module._buffers), name) not in persistent:
                    module._buffers[name] = buffer.to(self.device)


def _as_member(slot: _Slot, tensor: Tensor) -> Tensor:
    if isinstance(slot.tensors[slot.attribute], nn.Parameter):
        return nn.Parameter(tensor, requires_grad=False)
    return tensor


def _weight_slots(module: nn.Module) -> dict[str, list[_Slot]]:
    """Map each tensor of the state dict to the places it fills; tied weights fill several."""
    slots: dict[str, list[_Slot]] = {}
    first_name: dict[int, str] = {}
    for prefix, submodule in module.named_modules(remove_duplicate=False):
        groups = (
            (submodule._parameters, submodule._parameters.keys()),
            (submodule._buffers, submodule._buffers.keys() - submodule._non_persistent_buffers_set),
        )
        for tensors, attributes in groups:
            for attribute in sorted(attributes):
                tensor = tensors[attribute]
                if tensor is None:
                    continue
                name = first_name.setdefault(
                    id(tensor), f"{prefix}.{attribute}" if prefix else attribute
                )
                slots.setdefault(name, []).append(_Slot(tensors, attribute))
    return slots


def _in_kept_dtype(module: Any, name: str, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """The weight, without content, in the dtype that transformers loads it in.

    Some models keep some modules in float32, whatever the dtype of the rest.
    """
    for pattern, kept in module._get_dtype_plan(dtype).items():
        if re.search(pattern.replace("*", ".*"), name):
            return weight.to("meta", kept)
    return weight


def parse_model_config(model_config: str) -> transformers.PreTrainedConfig:
    """Build the transformers configuration that a ``config.json`` describes.

    Raises:
        ModelError: the text is no configuration of a model type that transformers knows.
    """
    try:
        values = json.loads(model_config)
        return transformers.AutoConfig.for_model(values.pop("model_type"), **values)
    except Exception as error:
        # A configuration class checks its values with errors of its own.
        raise ModelError(
            f"This is no model configuration that transformers knows: {error}.",
            "Give a config.json with a model_type that transformers supports without remote code.",
        ) from error


def check_config_values(model_config: str) -> None:
    """Check what transformers would divide by, or index with, before it does.

    Raises:
        ModelError: names the key.
    """
    try:
        values = json.loads(model_config)
    except ValueError as error:
        raise ModelError(
            f"The model's config.json is no JSON: {error}.",
            "Use the file that came with the model.",
        ) from error
    for key, value in values.items():
        wrong = isinstance(value, str | float) or (isinstance(value, int) and value < 1)
        if wrong and _SIZE_KEY.fullmatch(key):
            raise _wrong_value(key, value, "an integer of at least 1")
    vocabulary_size, padding = values.get("vocab_size"), values.get("pad_token_id")
    if isinstance(vocabulary_size, int) and isinstance(padding, int) and padding >= vocabulary_size:
        raise _wrong_value("pad_token_id", padding, f"below vocab_size, {vocabulary_size}")


def _wrong_value(key: str, value: object, needed: str) -> ModelError:
    return ModelError(
        f"The model's configuration says {key}: {json.dumps(value)}; it has to be {needed}.",
        f"Correct {key} in config.json, or in model.architecture.",
    )


def import_model_type(model_type: str) -> None:
    """Import the modules that a model of this type is built from, and compute nothing.

    Raises:
        ModelError: transformers has no causal LM of that type.
    """
    try:
        transformers.MODEL_FOR_CAUSAL_LM_MAPPING[transformers.CONFIG_MAPPING[model_type]]
    except KeyError as error:
        raise ModelError(
            f"transformers {transformers.__version__} has no causal LM of type '{model_type}'.",
            "Use another model, or a version of transformers that knows it.",
        ) from error
