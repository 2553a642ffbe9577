"""transport.md and overhead.md, as the workflow makes them from what it measured."""

import csv
import subprocess
import sys

import pytest

from expected_jobs import MODES, REMOTE, PlansOfCode, runs
from experiment import LINK_REPORTS

MEASURED_AGAIN = {"measure_link", "report_link", "report_overhead"}

# What a change of a module runs again for the two reports, where no benchmark depends on it.
MODULES = {
    "measure_link.py": MEASURED_AGAIN,
    "semgap/linkbench/contenders/gloo.py": MEASURED_AGAIN,
    "semgap/linkbench/measure.py": MEASURED_AGAIN,
    "semgap/linkbench/contenders/plain_sockets.py": MEASURED_AGAIN,
    "semgap/linkbench/wire.py": MEASURED_AGAIN,
    "report_link.py": {"report_link", "report_overhead"},
    "semgap/linkbench/report.py": {"report_link", "report_overhead"},
    "report_overhead.py": {"report_overhead"},
    "semgap/analysis/reports/overhead.py": {"report_overhead"},
    "semgap/analysis/reports/table.py": set(),
}


def rows_of(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_all_contenders_are_measured_at_all_sizes(over_tcp):
    rows = rows_of(over_tcp.results / "transport.goodput.csv")
    contenders = {row["contender"] for row in rows}
    assert {"plain sockets", "tcp", "torch_rpc", "gloo", "ZeroMQ"} <= contenders
    sizes = {int(row["payload_bytes"]) for row in rows}
    assert {1_000, 64_000, 1_000_000, 2_000_000} <= sizes
    assert len(rows) == len(contenders) * len(sizes)
    assert all(float(row["median_bytes_per_s"]) > 0 for row in rows)
    text = (over_tcp.results / "transport.md").read_text()
    assert all(name in text for name in contenders)


def test_the_ceiling_is_one_time_itself(over_tcp):
    for name in ("transport.goodput.csv", "transport.round_trips.csv"):
        own = [
            float(row["of_ceiling"])
            for row in rows_of(over_tcp.results / name)
            if row["contender"] == "plain sockets"
        ]
        assert own
        assert set(own) == {1.0}


def test_the_wire_carries_the_content_and_little_more(over_tcp):
    ratios = {
        (row["contender"], int(row["payload_bytes"])): float(row["wire_of_payload"])
        for row in rows_of(over_tcp.results / "transport.goodput.csv")
        if row["wire_of_payload"]
    }
    assert all(ratio >= 1 for ratio in ratios.values())
    assert ratios["tcp", 1_000_000] <= 1.005


def test_figures_are_drawn(over_tcp):
    assert "<svg" in (over_tcp.results / "transport.svg").read_text()
    assert (over_tcp.results / "transport.png").read_bytes().startswith(b"\x89PNG")


def test_overhead_tells_every_mode_and_phase(over_tcp):
    rows = rows_of(over_tcp.results / "overhead.csv")
    assert [(row["phase"], row["mode"]) for row in rows] == [
        (phase, mode) for phase in ("prefill", "decode") for mode in MODES
    ]
    for row in rows:
        assert row["transport"] == ("tcp" if row["mode"] in REMOTE else "in_process")
        assert (float(row["of_local"]) == 1.0) == (row["mode"] == "local")
        assert 0 < float(row["compute_s"]) < float(row["step_s"])
    text = (over_tcp.results / "overhead.md").read_text()
    assert all(f"| {mode} " in text for mode in MODES)


def test_the_goals_are_judged_apart_from_the_reports(over_tcp):
    judge = [sys.executable, over_tcp.folder / "tests" / "line_rate_goals.py", over_tcp.results]
    said = subprocess.run(judge, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    assert {line.partition(":")[0].split(maxsplit=1)[1] for line in said} == {
        "tcp",
        *(
            f"{mode}, {phase}"
            for mode in ("naive", "remote_cache")
            for phase in ("prefill", "decode")
        ),
        "semantic, decode",
    }


@pytest.fixture(scope="module")
def plans_of_code(over_tcp):
    return PlansOfCode(over_tcp, *LINK_REPORTS)


@pytest.mark.parametrize("module", MODULES)
def test_a_change_of_code(plans_of_code, module):
    assert plans_of_code.after(module) == MODULES[module]


def test_a_change_of_the_transport_measures_its_runs_and_the_link_again(plans_of_code):
    planned = plans_of_code.after("semgap/transport/tcp.py")
    assert planned == MEASURED_AGAIN | {"rpc_server"} | runs("benchmark", *REMOTE, repeats=[1])
