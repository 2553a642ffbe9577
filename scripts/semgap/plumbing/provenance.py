"""Where a run's numbers come from: commit, packages, the machine and what it is set to."""

import contextlib
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import msgspec

from semgap.plumbing.limits import usable_cores, usable_memory_bytes

_PROJECT = Path(__file__).parents[3]
_SYSTEM = Path("/sys/devices/system")
_CODE = ("Snakefile", "workflow", "scripts")
_NO_CHECKOUT = "not a git repository"
# Git sets these variables in hooks; they redirect it to another repository.
_REDIRECTIONS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")


class Machine(msgspec.Struct, frozen=True):
    """The machine a run was made on."""

    name: str
    kernel: str
    cpu: str
    cores: float  # that the run could use; a control group may allow half a one
    memory_bytes: int  # main memory that the run could use
    gpu: str  # name of the GPU that computed, empty if a CPU did


class GpuProvenance(msgspec.Struct, frozen=True):
    """The GPU that computes, and what it is shared with."""

    uuid: str  # as NVML prints it
    driver: str  # version of the NVIDIA driver
    cuda: str  # the version that torch was built with
    partitioned: bool | None  # whether instances of the GPU (MIG) are in use; None: unknown
    # what computed on it as the job began, the worker among them, as "name (process ID)"; None:
    # unknown
    processes: tuple[str, ...] | None


class Provenance(msgspec.Struct, frozen=True):
    """What a result depends on beside its settings; a text is empty if it is unknown."""

    commit: str  # of the checkout that the job's code is part of
    # whether tracked files differed from the commit, or code was not in it; None: unknown
    dirty: bool | None
    code: str  # fingerprint of the job's code
    packages: dict[str, str]  # versions of the direct dependencies
    load_average: float  # runnable processes, mean of the minute before the job
    governor: str  # the policy that sets the processor's clock
    clock_source: str
    gpu: GpuProvenance | None = None  # None where a CPU computes
    no_commit: str = ""  # why the commit is unknown


def describe_provenance(code: str, gpu_uuid: str) -> Provenance:
    """Describe where the numbers of this process come from.

    Args:
        gpu_uuid: the GPU that computes, empty where a CPU does.
    """
    checkout = checkout_of(_PROJECT)
    return Provenance(
        commit=checkout.commit,
        dirty=checkout.dirty,
        no_commit=checkout.no_commit,
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


class Host(msgspec.Struct, frozen=True):
    """A machine, and where the numbers that it makes come from."""

    machine: Machine
    provenance: Provenance


def describe_host(code: str, gpu_uuid: str, gpu_name: str) -> Host:
    """Describe this machine as one that computes; see ``describe_provenance``."""
    return Host(describe_machine(gpu_name), describe_provenance(code, gpu_uuid))


class Checkout(NamedTuple):
    """What git says of a folder."""

    commit: str
    dirty: bool | None
    no_commit: str


def checkout_of(folder: Path) -> Checkout:
    """A folder's commit, and whether code differs from it; writes nothing.

    A checkout that only surrounds the folder does not count.
    """
    try:
        if not _git(folder, "ls-files", "--", "Snakefile"):
            return _archived(folder, "no git checkout")
        commit = _git(folder, "rev-parse", "--verify", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
        added = _git(folder, "ls-files", "--others", "--exclude-standard", "--", *_CODE)
    except FileNotFoundError:
        return _archived(folder, "git is not installed")
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split()) or f"status {error.returncode}"
        return _archived(folder, "no git checkout" if _NO_CHECKOUT in said else f"git says: {said}")
    return Checkout(commit, bool(changed or added), "")


def _archived(folder: Path, why: str) -> Checkout:
    """What an archive of a commit says of itself; nothing tells whether code was changed since."""
    file = folder / "COMMIT"
    if not file.is_file():
        return Checkout("", None, why)
    return Checkout(file.read_text(encoding="ascii").strip(), None, "")


def package_versions(names_file: Path) -> dict[str, str]:
    """Versions of the packages that a file names, one per line, as far as they are installed."""
    names = re.findall(r"^[a-z0-9-]+$", names_file.read_text(encoding="utf-8"), re.MULTILINE)
    found = {}
    for name in names:
        # A job needs only some of them.
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _git(folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in _REDIRECTIONS}
    # Otherwise `git status` updates the times of files in its index.
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    # Otherwise git answers in the user's language.
    environment["LC_ALL"] = "C"
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env=environment,
        check=True,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    ).stdout.strip()


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def describe_machine(gpu: str) -> Machine:
    """Describe this machine; ``gpu`` is the name of the GPU that computes, or empty."""
    return Machine(
        name=platform.node(),
        kernel=platform.release(),
        cpu=_cpu_model(),
        cores=usable_cores(),
        memory_bytes=usable_memory_bytes(),
        gpu=gpu,
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
