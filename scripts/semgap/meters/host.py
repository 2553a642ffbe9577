"""What machine this is."""

from __future__ import annotations

import os
import platform
from importlib import metadata

import psutil
import torch

from semgap.meters.machine_facts import cpu_model
from semgap.records import Host, Versions


def describe_host(gpu: str) -> Host:
    """Describe this machine; ``gpu`` is the name of the GPU that computes, or empty."""
    return Host(
        name=platform.node(),
        kernel=platform.release(),
        cpu=cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        gpu=gpu,
    )


def versions() -> Versions:
    """Versions of what computes and carries, without importing what is not yet imported."""
    return Versions(
        python=platform.python_version(),
        torch=str(torch.__version__),
        transformers=metadata.version("transformers"),
    )
