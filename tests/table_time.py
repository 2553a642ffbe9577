#!/usr/bin/env python3
"""Say where the time of `make table` goes, and compare it with what is aimed at.

Clones this checkout, builds the table there from nothing, and calls it again with nothing to do. Of
a folder of results, such as results/gptj-6b-graph, it says what that took. Ends with 1 if a goal is
missed.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

PROJECT = Path(__file__).parents[1]
RUNS_S = 75.0
NO_OP_S = 3.0
ON_A_GPU_S = 360.0
ROUNDS = 3

# Each goal: what it is of, what was seen and the most that is aimed at, in seconds.
Goals = Iterator[tuple[str, float, float]]


def seconds(*command: str | Path, folder: Path) -> float:
    """How long a command takes."""
    begin_s = time.monotonic()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin_s


def runs_of(experiment: Path) -> list[dict[str, Any]]:
    """The records of all runs, in the order in which they were measured."""
    records = [json.loads(file.read_text()) for file in experiment.glob("runs/*/*.json")]
    return sorted(records, key=lambda record: record["started_unix_ns"])


def parts_of(record: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """What a run's time went to: each part and its seconds."""
    setup, prefill, *_, decode = record["phases"]
    ends_ns = {
        "importing, connecting, building the model": setup["begin_unix_ns"],
        "setup": setup["end_unix_ns"],
        "rehearsals": prefill["begin_unix_ns"],
        "what is timed": decode["end_unix_ns"],
        "the link, the clocks, the capture's end": record["ended_unix_ns"],
    }
    before_ns = record["started_unix_ns"]
    for part, end_ns in ends_ns.items():
        yield part, (end_ns - before_ns) / 1e9
        before_ns = end_ns


def span_s(records: Sequence[dict[str, Any]]) -> float:
    """From the begin of the first run to the end of the last."""
    return float(records[-1]["ended_unix_ns"] - records[0]["started_unix_ns"]) / 1e9


def say_runs(records: Sequence[dict[str, Any]]) -> None:
    """Print where the time of the runs went, by mode."""
    print(f"\nThe {len(records)} runs, seconds of each in the mean:")
    modes = defaultdict(list)
    for record in records:
        modes[record["mode"]].append(dict(parts_of(record)))
    for mode, runs in modes.items():
        parts = ", ".join(f"{part} {fmean(run[part] for run in runs):.1f}" for part in runs[0])
        print(f"  {mode}: {parts}")
    between = [
        (later["started_unix_ns"] - earlier["ended_unix_ns"]) / 1e9
        for earlier, later in pairwise(records)
    ]
    print(f"  between two: Snakemake, and a process that imports PyTorch {fmean(between):.1f}")


def others_of(experiment: Path) -> dict[str, float]:
    """Seconds of the jobs that measure nothing, by what they do."""
    taken_s: defaultdict[str, float] = defaultdict(float)
    folder = experiment / "job_times"
    for file in sorted(folder.rglob("*.tsv")):
        names, values = (line.split("\t") for line in file.read_text().splitlines()[:2])
        rule = file.relative_to(folder).parts[0].removesuffix(".tsv")
        taken_s[rule] += float(dict(zip(names, values, strict=True))["s"])
    return dict(taken_s)


def say(experiment: Path) -> None:
    """Print where the time of an experiment went."""
    say_runs(runs_of(experiment))
    print("\nThe other jobs, seconds:")
    for rule, taken_s in others_of(experiment).items():
        print(f"  {rule} {taken_s:.1f}")
    print()


def default_table() -> Goals:
    """Build the default table in a clone, twice."""
    with tempfile.TemporaryDirectory() as temporary:
        clone = Path(temporary, "clone")
        seconds("git", "clone", "-q", PROJECT, clone, folder=PROJECT)
        (clone / ".venv").symlink_to(PROJECT / ".venv")
        whole_s, no_op_s = (seconds("make", "table", folder=clone) for _ in range(2))
        experiment = clone / "results" / "mini"
        print(f"make table, from nothing: {whole_s:.1f} s")
        say(experiment)
        yield "make table, the runs", span_s(runs_of(experiment)), RUNS_S
        yield "make table, with nothing to do", no_op_s, NO_OP_S


def measured(experiment: Path) -> Goals:
    """What three repeats of an experiment on a GPU took, all but making the weights."""
    say(experiment)
    rounds = [one for one in runs_of(experiment) if one["settings"]["repeat"] <= ROUNDS]
    whole_s = span_s(rounds) + sum(others_of(experiment).values())
    yield f"{ROUNDS} repeats, and the other jobs", whole_s, ON_A_GPU_S


def main() -> None:
    """Command line: the folder of an experiment's results, or nothing for the default's."""
    missed = 0
    for what, seen_s, most_s in measured(Path(sys.argv[1])) if sys.argv[1:] else default_table():
        missed += seen_s > most_s
        print(
            f"{'holds ' if seen_s <= most_s else 'MISSED'}  {what}: {seen_s:.1f} s, aim {most_s:g}"
        )
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
