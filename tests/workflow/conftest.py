"""Finished experiments, shared by the tests that only look at them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from experiment import LINK_REPORTS, copy_project


@pytest.fixture(scope="session")
def experiments(tmp_path_factory):
    """A small experiment over each transport, built at the same time; one has link reports."""
    over_torch_rpc = copy_project(tmp_path_factory.mktemp("torch_rpc"))
    over_tcp = copy_project(tmp_path_factory.mktemp("tcp"))
    over_tcp.configure(
        server={"transport": "tcp"},
        link={"max_message_bytes": 2_000_000, "rounds": 2, "round_trips": 100},
    )
    with ThreadPoolExecutor() as pool:
        builds = [
            pool.submit(over_torch_rpc.build),
            pool.submit(over_tcp.build, "results/table.md", *LINK_REPORTS),
        ]
    for build in builds:
        build.result()
    return {"torch_rpc": over_torch_rpc, "tcp": over_tcp}


@pytest.fixture(scope="session")
def finished(experiments):
    """A small experiment whose table is built; tests must leave it as it is."""
    return experiments["torch_rpc"]


@pytest.fixture(scope="session")
def over_tcp(experiments):
    """The same experiment over the other transport, with the reports on the link."""
    return experiments["tcp"]


@pytest.fixture(scope="session", params=["torch_rpc", "tcp"])
def each(request, experiments):
    """The experiment over each transport in turn."""
    return experiments[request.param]
