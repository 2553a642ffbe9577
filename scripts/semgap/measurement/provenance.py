"""Where a run's numbers come from: commit, packages, and what the machine is set to."""

import os
import re
import subprocess
from importlib import metadata
from pathlib import Path

import msgspec

_PROJECT = Path(__file__).parents[3]
_SYSTEM = Path("/sys/devices/system")
# Git sets these variables in hooks; they redirect it to another repository.
_REDIRECTIONS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")


class GpuProvenance(msgspec.Struct, frozen=True):
    """The GPU that computes, and what it is shared with."""

    uuid: str  # as NVML prints it
    driver: str  # version of the NVIDIA driver
    cuda: str  # the version that torch was built with
    partitioned: bool  # whether instances of the GPU (MIG) are in use
    # what computed on it as the job began, the worker among them, as "name (process ID)"
    processes: tuple[str, ...]


class Provenance(msgspec.Struct, frozen=True):
    """What a result depends on beside its settings; a text is empty if it is unknown."""

    commit: str  # of the checkout that the job's code is part of
    dirty: bool  # whether tracked files differed from the commit
    code: str  # fingerprint of the job's code
    packages: dict[str, str]  # versions of the direct dependencies
    load_average: float  # runnable processes, mean of the minute before the job
    governor: str  # the policy that sets the processor's clock
    clock_source: str
    gpu: GpuProvenance | None = None  # None where a CPU computes


def describe_provenance(code: str, gpu_uuid: str) -> Provenance:
    """Describe where the numbers of this process come from.

    Args:
        gpu_uuid: the GPU that computes, empty where a CPU does.
    """
    commit, dirty = commit_of(_PROJECT)
    return Provenance(
        commit=commit,
        dirty=dirty,
        code=code,
        packages=package_versions(_PROJECT / "envs" / "direct.in"),
        load_average=os.getloadavg()[0],
        governor=_text_of(_SYSTEM / "cpu/cpu0/cpufreq/scaling_governor"),
        clock_source=_text_of(_SYSTEM / "clocksource/clocksource0/current_clocksource"),
        gpu=_describe_gpu(gpu_uuid) if gpu_uuid else None,
    )


def _describe_gpu(uuid: str) -> GpuProvenance:
    # Jobs that read records need neither of these; torch takes a second to import.
    import torch

    from semgap.plumbing.nvml import driver_version, opened_gpu

    with opened_gpu(uuid) as gpu:
        return GpuProvenance(
            uuid=uuid,
            driver=driver_version(),
            cuda=torch.version.cuda or "",
            partitioned=gpu.partitioned(),
            processes=gpu.processes(),
        )


def commit_of(folder: Path) -> tuple[str, bool]:
    """A folder's commit, and whether tracked files differ from it; writes nothing.

    A checkout that only surrounds the folder does not count.
    """
    if not _git(folder, "ls-files", "--", "Snakefile"):
        return "", False
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return _git(folder, "rev-parse", "--verify", "HEAD"), bool(changes)


def package_versions(names_file: Path) -> dict[str, str]:
    """Installed versions of the packages that a file names, one per line."""
    names = re.findall(r"^[a-z0-9-]+$", names_file.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: metadata.version(name) for name in names}


def _git(folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in _REDIRECTIONS}
    # Otherwise `git status` updates the times of files in its index.
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        ).stdout.strip()
    except FileNotFoundError:
        return ""


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
