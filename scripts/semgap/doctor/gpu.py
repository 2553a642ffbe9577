"""The GPU that a configuration wants."""

from collections.abc import Iterator

import torch

from semgap.doctor.finding import Finding, Level
from semgap.errors import ConfigError
from semgap.model.device import open_device
from semgap.plumbing.nvml import driver_version, opened_gpu


def check_gpu(device: str, needed_bytes: int) -> Iterator[Finding]:
    """Whether the worker's device is there, with memory enough and not shared."""
    if device == "cpu":
        yield Finding("GPU", Level.OK, "not wanted: worker.device is cpu")
        return
    if torch.cuda.is_available():
        # Before this process computes there and is itself among those that do.
        yield from _sharing(device)
    try:
        found = open_device(device)
    except ConfigError as error:
        yield Finding("GPU", Level.PROBLEM, error.cause, error.remedy)
        return
    free_bytes, _total = torch.cuda.mem_get_info(found.torch_device)
    said = (
        f"{found.gpu_name}, driver {driver_version() or 'unknown'}, {free_bytes / 1e9:.1f} GB free"
    )
    if free_bytes < needed_bytes:
        yield Finding(
            "GPU",
            Level.PROBLEM,
            f"{said}, about {needed_bytes / 1e9:.1f} needed.",
            "End other programs on it, or choose a smaller model or model.dtype: float16.",
        )
    else:
        yield Finding("GPU", Level.OK, said)


def _sharing(device: str) -> Iterator[Finding]:
    index = torch.device(device).index or 0
    with opened_gpu(f"GPU-{torch.cuda.get_device_properties(index).uuid}") as gpu:
        others = gpu.processes()
        if others:
            yield Finding(
                "GPU",
                Level.NOTE,
                f"Other programs compute on it: {', '.join(others)}.",
                "End them: utilisation, power and energy are those of the whole board.",
            )
        if gpu.partitioned():
            yield Finding(
                "GPU",
                Level.NOTE,
                "It is partitioned (MIG).",
                "Use a whole GPU: NVML's utilisation and power do not speak of one instance.",
            )
