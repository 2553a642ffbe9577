"""A client's tensors without content: each operator on them is executed by the worker.

They are tensors of PyTorch's meta device, which know their shape. What the operators are for, and
which tensors are weights or a KV cache, is not known here.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Self
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from semgap.errors import RemoteError
from semgap.inference.operands import CLIENTS_DEVICE
from semgap.protocol import Operate

META = torch.device(CLIENTS_DEVICE)
_Shape = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]  # size, stride, dtype


class _Handle:
    """What the worker keeps for a tensor: until the last reference to the tensor goes."""

    __slots__ = ("_released", "number")

    def __init__(self, number: int, released: list[int]) -> None:
        self.number = number
        self._released = released

    def __del__(self) -> None:
        self._released.append(self.number)


class Forwarding(TorchDispatchMode):
    """While entered, sends each operator to the worker.

    Args:
        send: takes an operator to where it is executed.
    """

    def __init__(self, send: Callable[[Operate], object]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._send = send
        self._handles = 0
        self._released: list[int] = []
        self._shapes: dict[Any, _Shape] = {}

    def __enter__(self) -> Self:
        # A mode for functions would be asked at each attribute of a tensor too.
        self._patched = patch.object(torch, "tensor", functools.partial(_tensor, torch.tensor))
        self._patched.start()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)  # type: ignore[no-untyped-call]
        self._patched.stop()

    def new_handle(self, tensor: Tensor) -> int:
        """Give a tensor a handle of its own."""
        self._handles += 1
        tensor.remote = _Handle(self._handles, self._released)  # type: ignore[attr-defined]
        return self._handles

    def handle_of(self, tensor: Tensor) -> int:
        """The handle of a tensor that the worker has."""
        handle: _Handle = tensor.remote  # type: ignore[attr-defined]
        return handle.number

    def released(self) -> tuple[int, ...]:
        """Handles of tensors that have gone since this was asked."""
        gone = tuple(self._released)
        # Another one may go meanwhile.
        del self._released[: len(gone)]
        return gone

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        if not any(map(_is_remote, (*args, *keywords.values()))):
            return func(*args, **keywords)
        # What goes now is still an argument of what is sent.
        released = self.released()
        arguments = [self._encoded(value) for value in args]
        named = {name: self._encoded(value) for name, value in keywords.items()}
        result = self._shaped(func, args, keywords)
        results = [result] if isinstance(result, Tensor) else list(result or ())
        new = [one for one in results if not hasattr(one, "remote")]
        if new and len(new) != len(results):
            raise RemoteError(
                f"{func} returns some of its arguments and new tensors.",
                "Leave modes that execute operators out for this model.",
            )
        handles = tuple(map(self.new_handle, new))
        self._send(Operate(str(func), arguments, named, handles, released))
        return result

    def _shaped(self, func: Any, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        """What an operator returns, without content."""
        # A view of what was made outside inference mode belongs to it.
        elsewhere = any(isinstance(one, Tensor) and not one.is_inference() for one in args)
        if func._schema.is_mutable or elsewhere:
            return func(*args, **keywords)
        signature = func, _signature(args), _signature(tuple(keywords.items()))
        known = self._shapes.get(signature)
        if known is None:
            try:
                result = func(*args, **keywords)
            except (NotImplementedError, RuntimeError) as error:
                raise RemoteError(
                    f"What {func} returns depends on content that is on the worker: {error}.",
                    "Leave modes that execute operators out for this model.",
                ) from error
            # Where nothing is to do, an operator may return its argument.
            if isinstance(result, Tensor) and not hasattr(result, "remote"):
                self._shapes[signature] = tuple(result.shape), result.stride(), result.dtype
            return result
        size, stride, dtype = known
        return torch.empty_strided(size, stride, dtype=dtype, device=META)

    def _encoded(self, value: Any) -> Any:
        """An argument as it crosses."""
        if isinstance(value, Tensor):
            if not hasattr(value, "remote"):
                self._adopt(value)
            return {"t": self.handle_of(value)}
        if isinstance(value, torch.dtype | torch.layout | torch.memory_format):
            return {"d": str(value).removeprefix("torch.")}
        if isinstance(value, torch.device):
            return {"on": value.type}
        if isinstance(value, list | tuple):
            return [self._encoded(item) for item in value]
        return value

    def _adopt(self, tensor: Tensor) -> None:
        """Make a tensor on the worker that was made here: a number, or one without any."""
        keywords = {"dtype": self._encoded(tensor.dtype), "device": self._encoded(tensor.device)}
        operator = "aten.empty.memory_format"
        arguments: list[Any] = [list(tensor.shape)]
        if tensor.dim() == 0 and tensor.device != META:
            operator, arguments = "aten.full.default", [[], tensor.item()]
        elif tensor.numel():
            raise RemoteError(
                f"An operator takes a tensor of shape {tuple(tensor.shape)} on {tensor.device} "
                "whose content the worker does not have.",
                "Leave modes that execute operators out for this model.",
            )
        self._send(Operate(operator, arguments, keywords, (self.new_handle(tensor),), ()))


def _tensor(make: Callable[..., Tensor], data: Any, **keywords: Any) -> Tensor:
    """``torch.tensor``, which would forget a number on the meta device before it is an operator."""
    if torch.device(keywords.get("device") or "cpu") != META:
        return make(data, **keywords)
    made = make(data, **{**keywords, "device": "cpu"})
    if made.dim():
        return made.to(META)
    return torch.full((), made.item(), dtype=made.dtype, device=META)


def _is_remote(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_is_remote, value))
    return (value if isinstance(value, torch.device) else getattr(value, "device", None)) == META


def _signature(value: Any) -> Any:
    """What the shape of a result depends on, as a key."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.stride(), value.dtype
    if isinstance(value, list | tuple):
        return tuple(map(_signature, value))
    # 1, 1.0 and True are equal, and lead to other dtypes.
    return type(value), value
