"""Tensors that a client names by handles, and the operators that it executes on them."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from semgap.errors import ReferenceIdError, RemoteError
from semgap.protocol import Operate, Record

# A client's tensors are on this device; here they are on the worker's.
CLIENTS_DEVICE = "meta"


class _Operand(int):
    """A handle among arguments that are numbers."""


_Step = tuple[Any, list[Any], dict[str, Any], Operate]


class Operands:
    """One session's tensors. Views share memory, as they do wherever operators make them."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._tensors: dict[int, Tensor] = {}
        self._programs: dict[str, tuple[Record, Sequence[_Step]]] = {}

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
        """Forget what handles name; a replay's are forgotten with it."""
        for handle in handles:
            self._tensors.pop(handle, None)

    def execute(self, call: Operate) -> None:
        """Execute an operator and keep its results.

        Raises:
            RemoteError: there is no such operator here, or it gave another number of tensors.
        """
        operator = _operator(call.operator)
        arguments = list(map(self._decoded, call.arguments))
        keywords = {name: self._decoded(value) for name, value in call.keywords.items()}
        try:
            with torch.inference_mode():
                result = operator(*arguments, **keywords)
        except NotImplementedError as error:
            raise RemoteError(
                f"The worker's device does not have {call.operator} for these arguments: {error}.",
                "Leave modes that execute operators out for this model.",
            ) from error
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

    def record(self, program: Record) -> None:
        """Keep a program, prepared as far as can be.

        Raises:
            RemoteError: there is no such operator.
        """
        steps = [
            (
                _operator(one.operator),
                list(map(self._prepared, one.arguments)),
                {name: self._prepared(value) for name, value in one.keywords.items()},
                one,
            )
            for one in program.operations
        ]
        self._programs[program.program] = program, steps

    def replay(self, name: str, tokens: Tensor) -> Tensor:
        """Execute a program on tokens; what it makes on its way is gone afterwards.

        Raises:
            ReferenceIdError: there is no program of that name, or it needs what is not there.
        """
        if name not in self._programs:
            raise ReferenceIdError(f"There is no program '{name}'.", "Record it first.")
        program, steps = self._programs[name]
        made: dict[int, Tensor] = {}

        def filled(value: Any) -> Any:
            if isinstance(value, _Operand):
                return made[value] if value in made else self.look_up(value)
            return list(map(filled, value)) if isinstance(value, list) else value

        with torch.inference_mode():
            self.look_up(program.token).copy_(tokens)
            for operator, arguments, keywords, one in steps:
                result = operator(
                    *map(filled, arguments),
                    **{name: filled(value) for name, value in keywords.items()},
                )
                if one.results:
                    results = [result] if isinstance(result, Tensor) else result
                    made.update(zip(one.results, results, strict=True))
                for handle in one.released:
                    made.pop(handle, None)
        return made[program.logits]

    def _prepared(self, value: Any) -> Any:
        """An argument with everything but tensors in place."""
        match value:
            case {"t": handle}:
                return _Operand(handle)
            case list():
                return list(map(self._prepared, value))
        return self._decoded(value)

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
