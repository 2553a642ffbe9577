"""Goals of `make decode-rate`, `make line-rate` and `make table-time` can be held and missed."""

import json
import shutil
import subprocess
import sys

import pytest

from recorded import unpacked
from small_models import PROJECT


@pytest.fixture
def results(tmp_path):
    """A recorded experiment whose decode steps take 10 ms in local and 10.1 ms in semantic."""
    folder = tmp_path / "results"
    shutil.copytree(unpacked("mini-tcp"), folder)
    take(folder, local=0.0100, semantic=0.0101)
    return folder


def take(folder, engine="eager", steps=40, **latencies_s):
    """Let each repeat have so many decode steps of such a latency."""
    for mode, latency_s in latencies_s.items():
        for file in (folder / "runs" / mode).glob("*.json"):
            record = json.loads(file.read_text())
            record["settings"]["worker"]["engine"] = engine
            step = record["phases"][-1]["steps"][0]
            record["phases"][-1]["steps"] = [{**step, "latency_s": latency_s}] * steps
            file.write_text(json.dumps(record))


def judged(*folders, script="decode_rate_goals.py"):
    command = [sys.executable, PROJECT / "tests" / script, *folders]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines()


def test_what_was_recorded_on_a_gpu_is_judged():
    names = ("gptj-6b-h100-decode-eager", "gptj-6b-h200-decode-graph")
    eager, graph = map(unpacked, names)
    status, of_eager = judged(eager)
    assert status == 0
    _, said = judged(eager, graph)
    assert said[:1] == of_eager
    assert [line.split(":")[1].strip() for line in said] == [
        *("semantic ÷ local", "semantic − local (ms)", "local ÷ floor")
    ]
    assert all("medians of 300 and 300 steps" in line for line in said)


def test_a_goal_is_held_or_missed_by_medians(results):
    assert judged(results) == (
        0,
        ["holds   eager, medians of 120 and 120 steps: semantic ÷ local: 1.010, aim 1.02"],
    )
    take(results, semantic=0.0103)
    status, (said,) = judged(results)
    assert status == 1
    assert said.startswith("MISSED")


def test_the_graph_engine_is_held_against_local_and_the_floor_that_was_measured(results):
    weights_bytes = json.loads((results / "manifest.json").read_text())["weights_bytes"]
    plain = (results / "summary.csv").read_text()
    fields = plain.splitlines()[0].split(",")
    for semantic_s, floor_s, missed in (
        (0.01009, 0.0090, []),
        (0.01009, 0.0088, ["local ÷ floor: 1.136, aim 1.12"]),
        (0.01012, 0.0090, ["semantic − local (ms): 0.120, aim 0.1"]),
    ):
        take(results, engine="graph", local=0.0100, semantic=semantic_s)
        row = {"phase": "decode", "mode": "local", "mean": weights_bytes / floor_s}
        row["quantity"] = "gpu_memory_read_bytes_per_s"
        line = ",".join(str(row.get(name, "")) for name in fields)
        (results / "summary.csv").write_text(f"{plain}{line}\n")
        status, said = judged(results)
        assert len(said) == 2
        found = [one for one in said if one.startswith("MISSED")]
        assert [one.partition("steps: ")[2] for one in found] == missed
        assert status == bool(missed)


def test_a_living_system_is_held_against_the_mode_that_is_like_it(results):
    take(results, engine="graph", steps=5, local=0.0100, semantic=0.01009)
    measured = [
        "phase,system,ours,failure,latency_s,network_bytes",
        "setup,theirs,False,,0.1,0",
        "decode,local,True,,1.00,0",
        "decode,semantic,True,,1.10,900",
        "decode,theirs,False,,1.25,0",
        "decode,theirs_remote,False,,1.00,900",
        "decode,broken,False,It fell.,,",
    ]
    (results / "peers.csv").write_text("\n".join(measured))
    status, said = judged(results)
    assert status == 1
    # Of so few steps, none is judged by itself.
    assert said == [
        "holds   graph, whole phases: local ÷ theirs: 0.800, aim 1",
        "MISSED  graph, whole phases: semantic ÷ theirs_remote: 1.100, aim 1",
    ]


def test_bytes_go_at_the_rate_of_plain_sockets_or_are_judged_not_to(tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(unpacked("gptj-6b-h200-tcp-graph"), folder)
    status, said = judged(folder, script="line_rate_goals.py")
    assert (status, len(said)) == (0, 4)
    for file in (folder / "runs" / "naive").glob("*.json"):
        record = json.loads(file.read_text())
        for step in record["phases"][-1]["steps"]:
            step["send_s"] *= 2
        file.write_text(json.dumps(record))
    status, said = judged(folder, script="line_rate_goals.py")
    assert status == 1
    assert [line.split(":")[0] for line in said if line.startswith("MISSED")] == [
        "MISSED  naive, decode"
    ]


def test_an_experiment_on_a_gpu_takes_six_minutes_or_is_judged_to_take_longer(tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(unpacked("gptj-6b-h200-tcp-graph"), folder)
    status, said = judged(folder, script="table_time.py")
    assert (status, said[-1].split(":")[0]) == (0, "holds   3 repeats, and the other jobs")
    assert any(line.startswith("  naive: importing") for line in said)
    jobs = folder / "job_times" / "parse_capture"
    jobs.mkdir(parents=True)
    for mode in ("local", "naive"):
        (jobs / f"{mode}.rep1.tsv").write_text("s\th:m:s\n60.5\t0:01:00\n")
    status, said = judged(folder, script="table_time.py")
    assert "  parse_capture 121.0" in said
    assert (status, said[-1].split(":")[0]) == (1, "MISSED  3 repeats, and the other jobs")
