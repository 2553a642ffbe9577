"""How to time a forward pass on a CPU and on a GPU."""

import math
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from semgap.errors import ConfigError

Result = TypeVar("Result")
_Ends = tuple[torch.cuda.Event, torch.cuda.Event]


class Device(Protocol):
    """The device that a worker computes on; without a GPU its name and UUID are empty."""

    torch_device: torch.device
    gpu_name: str
    gpu_uuid: str

    def begin(self, work: Callable[[], Result]) -> Result:
        """Begin ``work``; return its result, which is there after ``rest_s``."""
        ...

    def download(self, tensor: Tensor) -> Tensor:
        """Begin to copy a tensor to the host; return the copy, which is there after ``rest_s``."""
        ...

    def rest_s(self) -> float:
        """Wait for what was begun since this was asked; return how long the work took (s)."""
        ...


class CpuDevice(Device):
    """Operators are synchronous, so the process's clock times them."""

    torch_device = torch.device("cpu")
    gpu_name = ""
    gpu_uuid = ""

    def __init__(self) -> None:
        self._done_s = 0.0

    def begin(self, work: Callable[[], Result]) -> Result:
        begin_s = time.perf_counter()
        result = work()
        self._done_s += time.perf_counter() - begin_s
        return result

    def download(self, tensor: Tensor) -> Tensor:
        return tensor

    def rest_s(self) -> float:
        done_s, self._done_s = self._done_s, 0.0
        return done_s


class CudaDevice(Device):
    """Operators are asynchronous, so CUDA events time them."""

    def __init__(self, torch_device: torch.device) -> None:
        properties = torch.cuda.get_device_properties(torch_device)
        self.torch_device = torch_device
        self.gpu_name = properties.name
        self.gpu_uuid = f"GPU-{properties.uuid}"
        # All of a worker's passes are on one stream; asking for it each time takes microseconds.
        self._stream = torch.cuda.current_stream(torch_device)
        self._begun: list[_Ends] = []
        self._spare: list[_Ends] = []
        self._rests = True

    def begin(self, work: Callable[[], Result]) -> Result:
        ends = self._spare.pop() if self._spare else _new_ends()
        begin, end = ends
        self._rests = False
        begin.record(self._stream)
        result = work()
        end.record(self._stream)
        self._begun.append(ends)
        return result

    def download(self, tensor: Tensor) -> Tensor:
        self._rests = False
        # Into pinned memory, since nothing waits for it.
        return tensor.to("cpu", non_blocking=True)

    def rest_s(self) -> float:
        if self._rests:
            return 0.0
        self._stream.synchronize()
        self._rests = True
        rest_ms = math.fsum(begin.elapsed_time(end) for begin, end in self._begun)
        # Making an event takes as long as recording it.
        self._spare += self._begun
        self._begun.clear()
        return rest_ms / 1e3


def _new_ends() -> _Ends:
    return torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)


def waiting_for(torch_device: torch.device) -> Callable[[], None]:
    """What waits for all that is begun on a device's stream of passes."""
    if torch_device.type == "cpu":
        return lambda: None
    return torch.cuda.current_stream(torch_device).synchronize


def open_device(name: str) -> Device:
    """Return the device that the configuration calls ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ConfigError: a GPU is asked for that PyTorch does not see.
    """
    if name == "cpu":
        return CpuDevice()
    if not torch.cuda.is_available():
        raise ConfigError(
            f"worker.device is '{name}', but PyTorch sees no CUDA device on this machine.",
            "Set worker.device to 'cpu', or install a CUDA build of torch and the GPU's driver.",
        )
    index = torch.device(name).index
    last = torch.cuda.device_count() - 1
    if index is not None and index > last:
        raise ConfigError(
            f"worker.device is '{name}', but PyTorch sees cuda:0 to cuda:{last} on this machine.",
            "Set worker.device to one of them; CUDA_VISIBLE_DEVICES may hide others.",
        )
    torch_device = torch.device("cuda", torch.cuda.current_device() if index is None else index)
    torch.cuda.set_device(torch_device)
    # cuDNN's attention of one query and some hundred keys adds in an order that varies, and logits
    # of equal passes are to be equal in every bit.
    torch.backends.cuda.enable_cudnn_sdp(False)
    return CudaDevice(torch_device)
