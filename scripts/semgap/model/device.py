"""How to time a forward pass on a CPU and on a GPU."""

import math
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import torch

from semgap.errors import ConfigError

Result = TypeVar("Result")


class Device(Protocol):
    """The device that a worker computes on; without a GPU its name and UUID are empty."""

    torch_device: torch.device
    gpu_name: str
    gpu_uuid: str

    def timed(self, work: Callable[[], Result]) -> tuple[Result, float]:
        """Run ``work`` to its end on the device; return its result and duration in seconds."""
        ...

    def begun(self, work: Callable[[], Result]) -> tuple[Result, float]:
        """Begin ``work``; return its result and what is known of its duration, in seconds."""
        ...

    def rest_s(self) -> float:
        """Wait for what was begun; return what was not known of its duration, in seconds."""
        ...


class CpuDevice(Device):
    """Operators are synchronous, so the process's clock times them."""

    torch_device = torch.device("cpu")
    gpu_name = ""
    gpu_uuid = ""

    def timed(self, work: Callable[[], Result]) -> tuple[Result, float]:
        begin_s = time.perf_counter()
        result = work()
        return result, time.perf_counter() - begin_s

    begun = timed

    def rest_s(self) -> float:
        return 0.0


class CudaDevice(Device):
    """Operators are asynchronous, so CUDA events time them."""

    def __init__(self, torch_device: torch.device) -> None:
        properties = torch.cuda.get_device_properties(torch_device)
        self.torch_device = torch_device
        self.gpu_name = properties.name
        self.gpu_uuid = f"GPU-{properties.uuid}"
        # All of a worker's passes are on one stream; asking for it each time takes microseconds.
        self._stream = torch.cuda.current_stream(torch_device)
        self._begun: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def timed(self, work: Callable[[], Result]) -> tuple[Result, float]:
        # What was begun before is waited for, and is no part of this.
        self._begun.clear()
        result, _ = self.begun(work)
        return result, self.rest_s()

    def begun(self, work: Callable[[], Result]) -> tuple[Result, float]:
        begin = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        begin.record(self._stream)
        result = work()
        end.record(self._stream)
        self._begun.append((begin, end))
        return result, 0.0

    def rest_s(self) -> float:
        self._stream.synchronize()
        rest_ms = math.fsum(begin.elapsed_time(end) for begin, end in self._begun)
        self._begun.clear()
        return rest_ms / 1e3


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
