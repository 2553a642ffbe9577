"""Where a result comes from: sources, configuration, versions, machine and settings."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from semgap.meters.commands import ask
from semgap.meters.gpu_state import GpuDescription, describe_gpu
from semgap.meters.link_facts import LinkFacts, read_link_facts
from semgap.meters.machine_facts import MachineFacts, read_machine_facts
from semgap.records import read_record
from semgap.source_state import SourceState, read_source_state

PROJECT = Path(__file__).parents[2]

# Variables that change what is measured. No other one is recorded: among them may be secrets.
_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "GOMP_SPINCOUNT",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "TP_SOCKET_IFNAME",
)
_VARIABLE_PREFIX = "PYTORCH_"


class KnownToCaller(msgspec.Struct, frozen=True):
    """What the machine does not tell.

    Attributes:
        config: the experiment's whole configuration.
        interface: the network interface that is captured.
        model_fingerprint: the manifest's.
        seeds: by what they are for.
        job_order: the jobs in the order in which they ran, as far as the caller knows it.
        gpu_uuid: as NVML prints it ("GPU-…"); empty where a CPU computes.
        cuda_runtime: the CUDA version that torch was built with; None for a CPU build.
    """

    config: dict[str, Any]
    interface: str
    model_fingerprint: str
    seeds: dict[str, int]
    job_order: tuple[str, ...] = ()
    gpu_uuid: str = ""
    cuda_runtime: str | None = None


class Provenance(msgspec.Struct, frozen=True):
    """All that is needed to tell why two results differ, or to make one again.

    Attributes:
        python: version of the interpreter.
        packages: versions of the project's direct dependencies; None for what is not installed.
        tcpdump: its version with that of libpcap; None where it is not installed.
        environment: those set of the variables that change what is measured.
        gpu: None where a CPU computes.
    """

    source: SourceState
    known: KnownToCaller
    python: str
    packages: dict[str, str | None]
    tcpdump: str | None
    environment: dict[str, str]
    machine: MachineFacts
    link: LinkFacts
    gpu: GpuDescription | None


class TableProvenance(msgspec.Struct, frozen=True):
    """Where a table comes from.

    Attributes:
        table: of the job that rendered it.
        runs: of the runs behind it, in the order in which they ran.
    """

    table: Provenance
    runs: tuple[Provenance, ...]


def collect_provenance(
    known: KnownToCaller, project: Path = PROJECT, root: Path = Path("/")
) -> Provenance:
    """Describe where a result of this process comes from; some 50 ms, without importing torch.

    Args:
        project: the folder of the project's sources.
        root: where the kernel's file systems are found.

    Raises:
        pynvml.NVMLError: there is no GPU of that UUID, or no driver.
    """
    return Provenance(
        source=read_source_state(project),
        known=known,
        python=platform.python_version(),
        packages=package_versions(project / "envs" / "direct.in"),
        tcpdump=_tcpdump_version(),
        environment=measuring_environment(os.environ),
        machine=read_machine_facts(root),
        link=read_link_facts(known.interface, root),
        gpu=describe_gpu(known.gpu_uuid) if known.gpu_uuid else None,
    )


def read_config(path: Path) -> dict[str, Any]:
    """Read the configuration as it was written for a record, all defaults filled in.

    Raises:
        SemgapError: the file is missing or is no JSON object.
    """
    return read_record(path, dict[str, Any])


def seeds_of(config: Mapping[str, Any]) -> dict[str, int]:
    """The seeds that an experiment draws from, by what they are for."""
    return {
        "model weights": config["model"]["seed"],
        "prompt": config["workload"]["prompt_seed"],
        "order of runs": config["workload"]["order_seed"],
    }


def measuring_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that change what is measured, by name; no others."""
    return {
        name: environment[name]
        for name in sorted(environment)
        if name in _VARIABLES or name.startswith(_VARIABLE_PREFIX)
    }


def package_versions(names_file: Path) -> dict[str, str | None]:
    """Installed versions of the packages that a file names, one a line; None if not installed."""
    names = re.findall(r"^[A-Za-z0-9][A-Za-z0-9._-]*$", names_file.read_text(), re.MULTILINE)
    return {name: _installed_version(name) for name in sorted(names)}


def _installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _tcpdump_version() -> str | None:
    lines = (ask(("tcpdump", "--version")).output or "").splitlines()
    return ", ".join(lines[:2]) or None
