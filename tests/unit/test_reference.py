"""What is published of the recorded results is what their records give, byte for byte."""

import csv
import json
import os
import shutil
import subprocess
import sys

import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

from patience import PATIENCE_S
from recorded import sweep_of, unpacked
from semgap.analysis.catalogue import REPORTS
from semgap.analysis.scaling.publish import SCALING
from semgap.maintain.archive import ARCHIVE, REFERENCE, SUFFIX, pack
from semgap.maintain.readme_parts import sweeps_in
from semgap.maintain.reference_results import KEPT
from small_models import PROJECT

EXPERIMENTS = sorted(file.parent.name for file in REFERENCE.glob("*/manifest.json"))
SWEEPS = [folder.name for folder in sweeps_in(REFERENCE)]
POINTS = sorted(
    f"{name}/{file.name}" for name in SWEEPS for file in (REFERENCE / name).glob(f"*{SUFFIX}")
)

# Another processor: numpy, OpenBLAS and the C library take the code paths of one without AVX.
OLD_PROCESSOR = {
    "NPY_DISABLE_CPU_FEATURES": " ".join(
        name for name in __cpu_dispatch__ if __cpu_features__[name]
    ),
    "OPENBLAS_CORETYPE": "Nehalem",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX,-FMA,-FMA4,-AVX512F",
}
# An encoding without most characters, another day at most hours, one thread, another hash order.
FAR_AWAY = OLD_PROCESSOR | {
    "LC_ALL": "C",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONUTF8": "0",
    "TZ": "Pacific/Kiritimati",
    "OMP_NUM_THREADS": "1",
    "PYTHONHASHSEED": "7",
}


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    """Two copies of the project in which everything was built again from the records."""
    copies = {name: tmp_path_factory.mktemp(name) for name in ("here", "far away")}
    started = [start(copies["here"], {}), start(copies["far away"], FAR_AWAY)]
    statuses = [process.wait(timeout=5 * PATIENCE_S) for process in started]
    return dict(zip(copies, zip(copies.values(), statuses, strict=True), strict=True))


def test_far_away_is_another_processor():
    """Without this, the copies would agree because both were computed on the same one."""
    asked = (
        "from numpy._core import _multiarray_umath as m; print(sum(m.__cpu_features__.values()))"
    )
    used = [
        int(subprocess.check_output([sys.executable, "-c", asked], env=environment))
        for environment in ({}, FAR_AWAY)
    ]
    assert used[0] > used[1] or not any(__cpu_features__[name] for name in __cpu_dispatch__)


@pytest.fixture(scope="module", params=["here", "far away"])
def rebuilt(request, builds):
    """One of the copies, and how its build ended."""
    return builds[request.param]


def start(copy, environment):
    for name in ("scripts", "config", "docs", "results/reference", "README.md"):
        source = PROJECT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
    for name in (*EXPERIMENTS, *SWEEPS):
        for file in (copy / "results" / "reference" / name).glob("*.*"):
            if file.name not in ("manifest.json", "expectation.json") and file.suffix != ".xz":
                file.unlink()
    command = [sys.executable, "-m", "semgap.maintain.reference_results"]
    return subprocess.Popen(command, env={"PYTHONPATH": str(copy / "scripts"), **environment})


def runs_of(name):
    return [json.loads(file.read_text()) for file in unpacked(name).glob("runs/*/*.json")]


def gpus_of(name):
    return {run["provenance"]["gpu"]["uuid"] for run in runs_of(name)}


@pytest.mark.parametrize("name", EXPERIMENTS + POINTS)
def test_a_record_comes_from_one_boot(name):
    """The monotonic clock begins at a boot: it is behind the wall clock by the same each time."""
    phases = [run["phases"][0] for run in runs_of(name)]
    apart_ns = [phase["begin_unix_ns"] - phase["begin_ns"] for phase in phases]
    assert max(apart_ns) - min(apart_ns) < 1_000_000_000


def test_records_of_a_gpu_come_from_the_machines_that_the_readmes_say():
    of_tcp = gpus_of("gptj-6b-h100-tcp")
    assert len(of_tcp) == 1
    assert gpus_of("gptj-6b-h100-decode-eager") == of_tcp
    of_graph = gpus_of("gptj-6b-h200-tcp-graph")
    assert gpus_of("gptj-6b-h200-decode-graph") == of_graph
    for sweep in (name for name in SWEEPS if name.startswith("gptj")):
        of_sweep = set.union(*map(gpus_of, (name for name in POINTS if name.startswith(sweep))))
        assert len(of_sweep) == (3 if sweep.endswith("links") else 1), sweep
        assert not of_sweep & of_tcp
    for one in (of_graph, gpus_of("gptj-6b-h100-torch_rpc")):
        assert len(one) == 1
        assert one != of_tcp


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_recorded_table_is_rebuilt_from_its_records(rebuilt, name):
    copy, _status = rebuilt
    kept = {file.name for file in (REFERENCE / name).iterdir()}
    assert set(KEPT) <= kept
    for file in kept:
        now = (copy / "results" / "reference" / name / file).read_bytes()
        assert now == (REFERENCE / name / file).read_bytes(), "run: make reference-tables"


def test_all_that_follows_from_the_records_is_the_same_on_another_processor(builds):
    here, far = (copy / "build" / "reference" for copy, _status in builds.values())
    files = [file.relative_to(here) for file in here.rglob("*.*") if file.is_file()]
    made = {*REPORTS, "repeats.csv", "counts.csv", "claims.csv", "versus-reference.md"}
    assert made < {file.name for file in files}
    for file in files:
        assert (here / file).read_bytes() == (far / file).read_bytes(), file


def test_an_archive_is_the_same_whoever_writes_it(tmp_path):
    pack(unpacked("mini-tcp"), tmp_path / ARCHIVE)
    unpacked_again = tmp_path / "again"
    shutil.copytree(unpacked("mini-tcp"), unpacked_again)
    for file in unpacked_again.rglob("*.*"):
        os.utime(file, (0, 0))
    pack(unpacked_again, tmp_path / "again.tar.xz")
    assert (tmp_path / "again.tar.xz").read_bytes() == (tmp_path / ARCHIVE).read_bytes()


@pytest.mark.parametrize("name", SWEEPS)
def test_a_recorded_sweep_is_rebuilt_from_its_records(rebuilt, name):
    copy, _status = rebuilt
    for file in SCALING:
        now = (copy / "results" / "reference" / name / file).read_bytes()
        assert now == (REFERENCE / name / file).read_bytes(), "run: make reference-tables"


@pytest.mark.parametrize("name", [name for name in SWEEPS if name.endswith("context")])
def test_bytes_of_a_sweep_grow_as_the_plan_says(name):
    """With the prompt where the KV cache travels, by its size to the byte; else not at all."""
    points = sweep_of(name)
    kv_bytes = sum(tensor.bytes_per_position for tensor in points[0].manifest.kv_cache)
    decode = {
        (row.mode, point.records[0].prompt_tokens): row.mean("network_bytes")
        for point in points
        for row in point.table
        if row.phase == "decode"
    }
    shortest, *longer = sorted({length for _mode, length in decode})
    assert longer
    for length in longer:
        grown = {
            mode: decode[mode, length] - decode[mode, shortest]
            for mode in ("local", "semantic", "remote_cache", "naive")
        }
        assert grown["local"] == 0
        assert abs(grown["semantic"]) < 1000
        for mode in ("remote_cache", "naive"):
            assert abs(grown[mode] - 2 * 5 * kv_bytes * (length - shortest)) < 1000, mode


WEIGHTS_BYTES = 12_101_765_568
KV_BYTES_PER_POSITION = 458_752  # keys and values of 28 layers × 4,096 in float16
TOKEN_BYTES, LOGITS_BYTES = 8, 2 * 50_400


@pytest.mark.parametrize(
    ("name", "most_framing"),
    [
        ("gptj-6b-h100-tcp", 40_000),
        ("gptj-6b-h200-tcp-graph", 40_000),
        ("gptj-6b-h100-torch_rpc", 400_000),
    ],
)
def test_decode_of_gptj_moves_what_the_closed_formula_says(name, most_framing):
    kv_bytes = KV_BYTES_PER_POSITION * sum((128 + step) + (129 + step) for step in range(5))
    beside = 5 * (TOKEN_BYTES + LOGITS_BYTES)
    content = {
        "naive": 5 * WEIGHTS_BYTES + kv_bytes + beside,
        "remote_cache": kv_bytes + beside,
        "semantic": beside,
    }
    for mode, expected in content.items():
        for file in (unpacked(name) / "runs" / mode).glob("*.json"):
            steps = json.loads(file.read_text())["phases"][-1]["steps"]
            classes = [step[way] for step in steps for way in ("up_bytes", "down_bytes")]
            assert sum(sum(one.values()) for one in classes) == expected, file
    with (unpacked(name) / "repeats.csv").open(newline="") as file:
        captured = [
            (row["mode"], float(row["value"]))
            for row in csv.DictReader(file)
            if (row["phase"], row["quantity"]) == ("decode", "network_bytes")
        ]
    assert {mode for mode, _bytes in captured} == {"local", *content}
    for mode, seen_bytes in captured:
        if mode == "local":
            assert seen_bytes == 0
        else:
            assert 0 < seen_bytes - content[mode] < most_framing, mode


def test_readme_and_appendix_show_what_is_recorded(rebuilt):
    copy, status = rebuilt
    assert EXPERIMENTS
    assert POINTS
    for document in ("README.md", "docs/artifact.md"):
        assert (copy / document).read_text() == (PROJECT / document).read_text()
    assert status == 0


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if "ladder" in name])
def test_a_cache_of_bytes_moves_no_more_than_deltas(name):
    """Over all decode steps, of which the first one of deltas sends the prompt's KV cache up."""
    with (REFERENCE / name / "summary.csv").open(newline="") as file:
        moved = {
            row["mode"]: float(row["mean"])
            for row in csv.DictReader(file)
            if (row["phase"], row["quantity"]) == ("decode", "network_bytes")
        }
    assert moved["semantic"] < moved["content_addressed"] <= 1.05 * moved["delta"]
