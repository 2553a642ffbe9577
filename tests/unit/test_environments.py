"""The environment files in envs/ agree with each other."""

import re

import pytest
import yaml

from small_models import PROJECT

ENVS = PROJECT / "envs"
SETS = ("current", "gpu-host")


def pins(path):
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\n]+)", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", SETS)
def test_a_lock_has_every_direct_dependency_and_the_set_versions(name):
    lock = pins(ENVS / f"lock-{name}.txt")
    direct = re.findall(r"^[a-z0-9-]+$", (ENVS / "direct.in").read_text(), re.MULTILINE)
    assert direct
    assert set(direct) <= set(lock)
    chosen = pins(ENVS / f"set-{name}.in")
    assert set(chosen) == {"torch", "transformers", "snakemake"}
    assert all(lock[package] == version for package, version in chosen.items())


@pytest.mark.parametrize("name", SETS)
def test_a_conda_environment_pins_what_the_lock_pins(name):
    environment = yaml.safe_load((ENVS / f"{name}.yaml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    lock = pins(ENVS / f"lock-{name}.txt")
    direct = re.findall(r"^[a-z0-9-]+$", (ENVS / "direct.in").read_text(), re.MULTILINE)
    assert dict(entry.split("==") for entry in pip) == {
        package: lock[package] for package in direct
    }


@pytest.mark.parametrize("name", SETS)
def test_a_lock_leaves_cuda_packages_to_torch(name):
    """A CUDA build of torch pins them itself; a CPU build must not have to download them."""
    lock = pins(ENVS / f"lock-{name}.txt")
    assert [package for package in lock if package.startswith(("nvidia-", "triton", "cuda-"))] == [
        "nvidia-ml-py"
    ]


@pytest.mark.parametrize("name", SETS)
def test_test_tools_fit_every_set(name):
    lock, tools = pins(ENVS / f"lock-{name}.txt"), pins(ENVS / "lock-test.txt")
    shared = set(lock) & set(tools)
    assert {package: tools[package] for package in shared} == {
        package: lock[package] for package in shared
    }
