"""A figure in README or docs is either what a recorded file says, or known to be no measurement."""

import csv
import json
import re
from statistics import correlation, fmean, median, stdev

import pytest

from decode_rate_goals import decode_steps_s, floor_s
from recorded import unpacked
from small_models import PROJECT

REFERENCE = PROJECT / "results" / "reference"
GPTJ, GRAPH = "gptj-6b-h100-tcp", "gptj-6b-h100-tcp-graph"
MANY_STEPS = {name: f"gptj-6b-h100-decode-{name}" for name in ("eager", "graph")}
LINK = REFERENCE / "line-rate-2-cores"
# models.md is written by `make models`.
DOCUMENTS = sorted(
    str(file.relative_to(PROJECT))
    for file in (PROJECT / "README.md", *(PROJECT / "docs").glob("*.md"))
    if file.name != "models.md"
)
# A number and a unit of what is measured.
FIGURE = re.compile(r"\d[\d.,]*(?: to \d[\d.,]*)? ?(?:ms|µs|s|[KMGT]B(?:/s)?|%|×)(?![\w/])")
# Thresholds, settings, sizes of files that no record has, and what was seen by hand and says so.
NOT_RECORDED = {
    "README.md": {
        *("1 GB", "1 MB", "10 %", "0.5 %", "1 KB", "95 %", "64 KB"),
        *("1.5 GB", "6 GB", "0.33 GB", "16 GB", "60 GB"),
    },
    "docs/artifact.md": {"3 GB", "16 GB", "30 GB", "20 GB", "45 GB", "2 MB", "10 %"},
    "docs/claims.md": {"0.5 %", "95 %", "5 %"},
    "docs/gpu-host.md": {"50 MB"},
    "docs/links.md": {"64 KB"},
    "docs/measurement.md": {"8 MB", "0.5 %"},
    "docs/terms.md": {"64 KB", "0.1 s", "1 s", "95 %"},
    "docs/transports.md": {
        *("95 %", "5 %", "1 KB", "64 MB", "8 MB", "1 ms", "0.1 ms", "256 MB"),
        # By hand, as the document says.
        *("0.50 to 0.39 ms", "13.6 to 13.7 ms", "1.3 GB/s"),
    },
}


def rows_of(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def prose(document):
    """A document without what is generated and without code."""
    text = (PROJECT / document).read_text(encoding="utf-8")
    text = re.sub(r"<!-- [^>]*make reference-tables -->.*?<!-- end -->", "", text, flags=re.DOTALL)
    text = re.sub(r"```.*?```|^    .*?$|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)
    return " ".join(text.split())


def weights_gigabytes(name):
    manifest = json.loads((REFERENCE / name / "manifest.json").read_text())
    return manifest["weights_bytes"] / 1e9


def of_the_processors_speed():
    values = {}
    for row in rows_of(unpacked(GPTJ) / "repeats.csv"):
        of_repeats = values.setdefault((row["mode"], row["phase"], row["quantity"]), [])
        of_repeats.append(float(row["value"]))
    loops_ms = [
        1e3 * loop_s for key, every in values.items() if "loop" in key[2] for loop_s in every
    ]
    local, semantic = (
        [values[mode, "decode", name] for name in ("latency_s", "reference_loop_s")]
        for mode in ("local", "semantic")
    )
    steps_ms = [1e3 * latency_s / 5 for latency_s in local[0]]
    kernels_ms = [1e3 * busy_s / 5 for busy_s in values["local", "decode", "gpu_kernel_busy_s"]]
    yield f"take {fmean(kernels_ms):.2f} ms"
    yield f"deviation of {deviation_percent(kernels_ms):.1f} % of that"
    yield f"the step takes {min(steps_ms):.0f} to {max(steps_ms):.0f} ms"
    yield f"it takes {min(loops_ms):.1f} to {max(loops_ms):.1f} ms"
    yield f"(correlation {correlation(*local):.2f})"
    yield f"hardly ({correlation(*semantic):.2f})"
    yield from of_the_graphs_deviation()


def deviation_percent(values):
    return 100 * stdev(values) / fmean(values)


def of_the_graphs_deviation():
    loops_ms = [
        1e3 * float(row["value"])
        for row in rows_of(unpacked(GRAPH) / "repeats.csv")
        if row["quantity"] == "reference_loop_s"
    ]
    yield f"fixed loop took {min(loops_ms):.1f} to {max(loops_ms):.1f} ms"
    of_graph, of_eager, of_many = (
        [phase for record in records_of(folder) for phase in record["phases"][2:]]
        for folder in map(unpacked, (GRAPH, GPTJ, MANY_STEPS["graph"]))
    )
    with_graph, with_eager, in_many = (
        deviation_percent([phase["latency_s"] for phase in phases])
        for phases in (of_graph, of_eager, of_many)
    )
    yield f"deviate by {with_graph:.1f} % of their mean instead of {with_eager:.1f} %"
    yield f"three of them by {in_many:.1f} %"
    steps_ms = list(map(steps_ms_of, of_graph))
    yield f"the first ten deviate by {deviation_percent(list(map(sum, steps_ms))):.1f} %"
    (before, pause_before), (after, pause_after) = map(between_steps_ms, (of_graph, of_many))
    yield f"Their first step takes {before:.2f} ms more than the median"
    yield f"their first step takes {after:.2f} ms more"
    yield f"pass {pause_after:.2f} instead of {pause_before:.2f} ms"


def steps_ms_of(phase):
    return [1e3 * step["latency_s"] for step in phase["steps"]]


def between_steps_ms(phases):
    """By how much the first step is longer than the median one, and what passes between two."""
    steps_ms = list(map(steps_ms_of, phases))
    firsts_ms = median(steps[0] for steps in steps_ms) - median(map(median, steps_ms))
    pauses_ms = [
        (1e3 * phase["latency_s"] - sum(steps)) / len(steps)
        for phase, steps in zip(phases, steps_ms, strict=True)
    ]
    return firsts_ms, fmean(pauses_ms)


def records_of(folder):
    """The records of a folder's repeats of ``local``."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("runs/local/*.json"))]


def of_the_engines():
    eager, graph = map(unpacked, MANY_STEPS.values())
    eager_s, graph_s = (median(decode_steps_s(folder, "local")) for folder in (eager, graph))
    (eager_kernels, eager_ms), (graph_kernels, graph_ms) = map(kernels_of, (eager, graph))
    yield f"takes {1e3 * eager_s:.2f} ms with"
    yield (
        f"{eager_kernels:.0f} kernels of which take {eager_ms:.2f} ms together, "
        f"and {1e3 * graph_s:.2f} ms with"
    )
    yield (
        f"{graph_kernels:.0f} kernels, {graph_ms:.2f} ms, "
        f"which is {graph_s / floor_s(graph):.2f} × the floor of {1e3 * floor_s(graph):.2f} ms"
    )
    with_eager, with_graph = (
        median(decode_steps_s(folder, "semantic")) / local_s
        for folder, local_s in ((eager, eager_s), (graph, graph_s))
    )
    yield f"takes {with_eager:.3f} × that of"
    yield f"and {with_graph:.3f} × with"


def kernels_of(folder):
    """Number of kernels in a decode step of ``local``, and the time in them in milliseconds."""
    means = {
        row["quantity"]: float(row["mean"])
        for row in rows_of(folder / "summary.csv")
        if (row["phase"], row["mode"]) == ("decode", "local")
    }
    steps = means["steps"]
    return means["gpu_kernels"] / steps, 1e3 * means["gpu_kernel_busy_s"] / steps


def of_the_artifact():
    yield f"seeded weights: {weights_gigabytes('mini-torch_rpc'):.2f} GB"
    yield f"float16: {weights_gigabytes(GPTJ):.1f} GB of weights"
    shares = [
        100 * float(row["std"]) / float(row["mean"])
        for row in rows_of(unpacked(GPTJ) / "summary.csv")
        if row["quantity"] == "latency_s" and row["mode"] != "naive" and row["phase"] != "setup"
    ]
    yield f"scatter by {min(shares):.0f} to {max(shares):.0f} % where no weights cross"


def of_the_gpus_memory():
    weights_gb = weights_gigabytes(GPTJ)
    peaks_gb = [
        float(row["mean"]) / 1e9
        for folder in (REFERENCE / "gptj-6b-h100-context").iterdir()
        if folder.is_dir()
        for row in rows_of(folder / "summary.csv")
        if row["quantity"] == "gpu_memory_peak_bytes"
    ]
    yield f"the {weights_gb:.1f} GB of its weights"
    yield f"up to {max(peaks_gb) - weights_gb:.0f} GB more with the prompt"
    yield f"in float16 take {weights_gb:.1f} GB of disk"


def of_the_link():
    rates = {
        (row["contender"], int(row["payload_bytes"])): float(row["median_bytes_per_s"])
        for row in rows_of(LINK / "transport.goodput.csv")
    }
    round_trips = {
        row["contender"]: float(row["median_s"])
        for row in rows_of(LINK / "transport.round_trips.csv")
    }
    system = rates["plain sockets, system's congestion control", 256_000_000] / 1e9
    cubic = rates["plain sockets", 256_000_000] / 1e9
    yield f"({system:.1f} against {cubic:.1f} GB/s at 256 MB on the 2-core machine)"
    for name in ("gloo", "ZeroMQ", "torch_rpc"):
        shares = [
            rate / rates["tcp", size]
            for (contender, size), rate in rates.items()
            if contender == name and size >= 64_000_000
        ]
        times = round_trips[name] / round_trips["tcp"]
        yield f"{min(shares):.2f} to {max(shares):.2f} of at ≥ 64 MB, round trip {times:.1f} ×"
    (said,) = re.findall(r"[\d.]+ to [\d.]+ GB/s", (LINK / "transport.md").read_text())
    yield f"| iperf3, one stream | {said}; sends"


def of_the_shaped_link():
    """Its bytes are those of the loopback interface; its latencies are not."""
    shaped, loopback = (REFERENCE / name for name in ("mini-tcp-1gbit", "mini-tcp"))
    assert network_bytes_of(shaped) == network_bytes_of(loopback)
    times, before = map(decode_of_local, (shaped, loopback))
    for mode in ("naive", "remote_cache", "semantic"):
        yield f"{times[mode]:.3g} × Local's instead of {before[mode]:.3g} ×"
    steps = [
        step
        for file in unpacked(shaped.name).glob("runs/naive/*.json")
        for step in json.loads(file.read_text())["phases"][2]["steps"]
    ]
    sent_bytes = sum(sum(step["up_bytes"].values()) for step in steps)
    bits_per_s = 8 * sent_bytes / sum(step["send_s"] for step in steps)
    yield f"sent at {bits_per_s / 1e9:.2f} Gbit/s"


def network_bytes_of(folder):
    return {
        (row["phase"], row["mode"]): row["mean"]
        for row in rows_of(folder / "summary.csv")
        if row["quantity"] == "network_bytes"
    }


def decode_of_local(folder):
    """Each mode's decode latency as a multiple of that of ``local``."""
    return {
        row["mode"]: float(row["ratio"])
        for row in rows_of(folder / "comparisons.csv")
        if (row["phase"], row["baseline"]) == ("decode", "local")
    }


RECORDED = {
    "docs/artifact.md": of_the_artifact,
    "docs/engines.md": of_the_engines,
    "docs/gpu-host.md": of_the_gpus_memory,
    "docs/links.md": of_the_shaped_link,
    "docs/measurement.md": of_the_processors_speed,
    "docs/transports.md": of_the_link,
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_figure_is_recorded_or_no_measurement(document):
    rest = prose(document)
    for phrase in RECORDED.get(document, tuple)():
        assert phrase in rest, phrase
        rest = rest.replace(phrase, "")
    unknown = set(FIGURE.findall(rest)) - NOT_RECORDED.get(document, set())
    assert not unknown, "compare these with a recorded file, or say above why none has them"


def test_a_figure_that_nobody_vouches_for_is_seen():
    for said, seen in (
        ("a step takes 7.04 ms", "7.04 ms"),
        ("it moved 61.11 GB in all", "61.11 GB"),
        ("goodput of 2.7 GB/s", "2.7 GB/s"),
        ("3 to 4 % more", "3 to 4 %"),
        ("round trip 11 × that", "11 ×"),
    ):
        assert FIGURE.findall(said) == [seen]
    assert not FIGURE.findall("5 decode steps, 128 tokens, 3 repeats, 3 small")
