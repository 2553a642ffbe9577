#!/usr/bin/env python3
"""Compare what `make decode-rate` measured with what is aimed at; ends with 1 if a goal is missed.

Usage: decode_rate_goals.py results/<experiment>...
"""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

# Of median steps. An eager one waits for its launches, so a remote one hides in its scatter.
EAGER_SEMANTIC_OF_LOCAL = 1.02
GRAPH_SEMANTIC_BEYOND_LOCAL_MS = 0.1
GRAPH_LOCAL_OF_FLOOR = 1.12
OURS_OF_A_SYSTEM = 1.0
# Of fewer, the median is that of steps after a pause.
FEWEST_STEPS = 100


def decode_steps_s(folder: Path, mode: str) -> list[float]:
    """Latencies of the decode steps of all repeats of a mode."""
    records = [json.loads(file.read_text()) for file in (folder / "runs" / mode).glob("*.json")]
    return [
        step["latency_s"]
        for record in records
        for phase in record["phases"]
        if phase["name"] == "decode"
        for step in phase["steps"]
    ]


def engine_of(folder: Path) -> str:
    """The engine that the runs say they had."""
    (first, *_others) = sorted((folder / "runs" / "local").glob("*.json"))
    engine: str = json.loads(first.read_text())["settings"]["worker"]["engine"]
    return engine


def floor_s(folder: Path) -> float | None:
    """Time to read the weights once, at the rate that was measured; None without a GPU."""
    manifests = (folder / "manifest.json", folder / "model" / "manifest.json")
    (manifest,) = (file for file in manifests if file.exists())
    with (folder / "summary.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name = row["phase"], row["mode"], row["quantity"]
            if name == ("decode", "local", "gpu_memory_read_bytes_per_s"):
                weights_bytes = json.loads(manifest.read_text())["weights_bytes"]
                return float(weights_bytes) / float(row["mean"])
    return None


def decode_s(folder: Path) -> dict[tuple[str, bool], tuple[float, bool]]:
    """How long decode takes each mode and system, and whether it crosses a network."""
    file = folder / "peers.csv"
    if not file.exists():
        return {}
    with file.open(encoding="utf-8", newline="") as lines:
        return {
            (row["system"], row["ours"] == "True"): (
                float(row["latency_s"]),
                float(row["network_bytes"]) > 0,
            )
            for row in csv.DictReader(lines)
            if row["phase"] == "decode" and not row["failure"]
        }


def goals(folder: Path) -> Iterator[tuple[str, float, float]]:
    """Each goal: what it is of, what was seen, and the most that is aimed at."""
    yield from goals_of_steps(folder)
    engine = engine_of(folder)
    decode = decode_s(folder)
    for (system, ours), (system_s, crosses) in decode.items():
        if not ours:
            like = "semantic" if crosses else "local"
            ratio = decode[like, True][0] / system_s
            yield f"{engine}, whole phases: {like} ÷ {system}", ratio, OURS_OF_A_SYSTEM


def goals_of_steps(folder: Path) -> Iterator[tuple[str, float, float]]:
    """The goals of single steps, where there are enough."""
    engine = engine_of(folder)
    local_s, semantic_s = (decode_steps_s(folder, mode) for mode in ("local", "semantic"))
    if min(len(local_s), len(semantic_s)) < FEWEST_STEPS:
        return
    of_steps = f"{engine}, medians of {len(local_s)} and {len(semantic_s)} steps"
    if engine == "eager":
        ratio = median(semantic_s) / median(local_s)
        yield f"{of_steps}: semantic ÷ local", ratio, EAGER_SEMANTIC_OF_LOCAL
        return
    beyond_ms = (median(semantic_s) - median(local_s)) * 1e3
    yield f"{of_steps}: semantic − local (ms)", beyond_ms, GRAPH_SEMANTIC_BEYOND_LOCAL_MS
    floor = floor_s(folder)
    if floor is not None:
        yield f"{of_steps}: local ÷ floor", median(local_s) / floor, GRAPH_LOCAL_OF_FLOOR


def main() -> None:
    """Command line: the folders of the experiments' results."""
    missed = 0
    for folder in map(Path, sys.argv[1:]):
        for what, seen, most in goals(folder):
            missed += seen > most
            print(f"{'holds ' if seen <= most else 'MISSED'}  {what}: {seen:.3f}, aim {most:g}")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
