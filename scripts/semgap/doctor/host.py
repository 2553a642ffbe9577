"""Processors, memory, clock, disk, the GPU, and what else keeps the machine busy."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from semgap.doctor import Finding, Level
from semgap.engine import load_engine
from semgap.errors import ConfigError
from semgap.inference.worker_settings import WorkerSettings
from semgap.model.device import open_device
from semgap.plumbing.files import free_bytes_of
from semgap.plumbing.limits import available_memory_bytes, usable_cores
from semgap.plumbing.nvml import driver_version, opened_gpu

_WATCHED_S = 1.0
# Above this share of all cores, the notes under a table warn too.
_BUSY_SHARE = 0.25
_CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_SLOW_CLOCKS = ("hpet", "acpi_pm", "jiffies")


def check_machine() -> Iterator[Finding]:
    """Whether the machine is quiet, and what it has."""
    cores, all_cores = usable_cores(), len(os.sched_getaffinity(0))
    limited = "" if cores == all_cores else f" of {all_cores}, by a control group"
    yield Finding("processor", Level.OK, f"{cores:g} cores{limited}")
    yield _busy()
    yield _clock()


def _busy() -> Finding:
    percent = psutil.cpu_percent(interval=_WATCHED_S)
    said = f"{percent:.0f} % of the processor was in use during the last second"
    if percent <= 100 * _BUSY_SHARE:
        return Finding("load", Level.OK, said)
    names = sorted(
        psutil.process_iter(["pid", "name", "cpu_times"]),
        key=lambda process: -sum(process.info["cpu_times"] or (0,)),
    )
    busiest = ", ".join(f"{one.info['name']} ({one.info['pid']})" for one in names[:3])
    return Finding(
        "load",
        Level.NOTE,
        f"{said}; most processor time so far: {busiest}.",
        "Measure when the machine is quiet: latencies would scatter, and the table warn.",
    )


def _clock() -> Finding:
    try:
        source = _CLOCK_SOURCE.read_text(encoding="utf-8").strip()
    except OSError:
        source = "unknown"
    if source in _SLOW_CLOCKS:
        return Finding(
            "clock",
            Level.NOTE,
            f"The clock source is {source}: reading the time takes microseconds.",
            f"If the machine has tsc: echo tsc > {_CLOCK_SOURCE} (as root).",
        )
    return Finding("clock", Level.OK, source)


def check_memory(needed_bytes: int) -> Finding:
    """Whether there is memory for a job and the server."""
    available = available_memory_bytes()
    said = f"{available / 1e9:.1f} GB available, about {needed_bytes / 1e9:.1f} needed"
    if available < needed_bytes:
        return Finding(
            "memory",
            Level.PROBLEM,
            f"{said}.",
            "End other programs, or choose a smaller model or model.dtype: float16.",
        )
    return Finding("memory", Level.OK, said)


def check_disk(folder: Path, needed_bytes: int) -> Finding:
    """Whether there is room for weights and captures."""
    free = free_bytes_of(_existing(folder))
    if free is None:
        return Finding("disk", Level.OK, f"'{folder}' is on a file system that names no limit")
    said = f"{free / 1e9:.1f} GB free for '{folder}', about {needed_bytes / 1e9:.1f} needed"
    if free < needed_bytes:
        return Finding(
            "disk",
            Level.PROBLEM,
            f"{said}.",
            "Make room, or give 'snakemake --directory' a folder on a larger disk.",
        )
    return Finding("disk", Level.OK, said)


def check_writable(folder: Path) -> Finding:
    """Whether results can be written, by writing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".doctor-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return Finding(
            "results",
            Level.PROBLEM,
            f"'{folder}' cannot be written: {error.strerror}.",
            "Make it writable, or give 'snakemake --directory' another folder.",
        )
    return Finding("results", Level.OK, f"'{folder}' can be written")


def _existing(folder: Path) -> Path:
    return next(one for one in (folder, *folder.absolute().parents) if one.exists())


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


def check_compiler(worker: WorkerSettings) -> Iterator[Finding]:
    """Whether kernels can be compiled, where the engine does so."""
    if worker.device == "cpu" or not load_engine(worker.engine).COMPILES:
        return
    # Where Triton looks.
    named = os.environ.get("CC")
    found = shutil.which(named) if named else shutil.which("gcc") or shutil.which("clang")
    if found is None:
        yield Finding(
            "C compiler",
            Level.NOTE,
            f"'{named or 'gcc'}' is not there, and decode steps of GPT-J and Llama need it.",
            "Install one (Debian: gcc), or set worker.engine to 'eager'.",
        )
    else:
        yield Finding("C compiler", Level.OK, found)


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
