"""Tensors that a client names by handles, and the operators that it executes on them."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from semgap.errors import ReferenceIdError, RemoteError
from semgap.protocol import Operate

# A client's tensors are on this device; here they are on the worker's.
CLIENTS_DEVICE = "meta"


class Operands:
    """One session's tensors. Views share memory, as they do wherever operators make them."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._tensors: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._tensors)

    def keep(self, handles: Sequence[int], tensors: Iterable[Tensor]) -> None:
        """Keep tensors under handles that name nothing yet."""
        self._tensors.update(zip(handles, tensors, strict=True))

    def look_up(self, handle: int) -> Tensor:
        """Return the tensor that a handle names.

        Raises:
            ReferenceIdError: it names none.
        """
        try:
            return self._tensors[handle]
        except KeyError:
            raise ReferenceIdError(
                f"The worker has no tensor under the handle {handle}.",
                "A client's tensors end with its session: begin with a new one.",
            ) from None

    def release(self, handles: Iterable[int]) -> None:
        """Forget what handles name."""
        for handle in handles:
            del self._tensors[handle]

    def execute(self, call: Operate) -> None:
        """Execute an operator and keep its results.

        Raises:
            RemoteError: there is no such operator, or it gave another number of tensors.
        """
        with torch.inference_mode():
            result = _operator(call.operator)(
                *map(self._decoded, call.arguments),
                **{name: self._decoded(value) for name, value in call.keywords.items()},
            )
        if call.results:
            results = [result] if isinstance(result, Tensor) else list(result)
            if len(results) != len(call.results):
                raise RemoteError(
                    f"{call.operator} gave {len(results)} tensors; the client expects "
                    f"{len(call.results)}.",
                    "Use the same version of torch on both sides.",
                )
            self.keep(call.results, results)
        self.release(call.released)

    def _decoded(self, value: Any) -> Any:
        match value:
            case {"t": handle}:
                return self.look_up(handle)
            case {"d": name}:
                return getattr(torch, name)
            case {"on": device}:
                return self._device if device == CLIENTS_DEVICE else torch.device(device)
            case list():
                return [self._decoded(item) for item in value]
        return value


@functools.cache
def _operator(name: str) -> Any:
    namespace, _, rest = name.partition(".")
    try:
        found = getattr(torch.ops, namespace)
        for part in rest.split("."):
            found = getattr(found, part)
    except AttributeError:
        found = None
    # Others than ATen's may do anything.
    if namespace != "aten" or not isinstance(found, torch._ops.OpOverload):
        raise RemoteError(
            f"There is no operator '{name}'.", "Use the same version of torch on both sides."
        )
    return found
