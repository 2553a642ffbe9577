#!/usr/bin/env python3
"""Compare what `make line-rate` measured with what is aimed at; ends with 1 if a goal is missed.

Of an experiment whose link was not measured, the runs alone are judged.

Usage: line_rate_goals.py results/<experiment>
"""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

Rows = list[dict[str, str]]

_WAYS = ("up_bytes", "down_bytes")
_TRANSFER = ("serialise_s", "send_s", "host_to_device_s", "device_to_host_s", "receive_s")


def rows_of(path: Path) -> Rows:
    """The lines of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def goals(folder: Path) -> Iterator[tuple[str, float, float, float]]:
    """Each goal: what it is of, what was seen, and the bounds it should lie between."""
    if (folder / "transport.goodput.csv").exists():
        yield from goals_of_transport(folder)
    for mode in ("naive", "remote_cache"):
        for phase, ratios in of_plain_sockets(folder, mode).items():
            what = f"{mode}, {phase}: transfer goodput ÷ plain sockets in the same job"
            yield what, median(ratios), 0.9, float("inf")
    if (folder / "overhead.csv").exists():
        yield from goals_of_steps(folder)


def goals_of_transport(folder: Path) -> Iterator[tuple[str, float, float, float]]:
    """Those of messages without a model."""
    for row in rows_of(folder / "transport.goodput.csv"):
        size_bytes = int(row["payload_bytes"])
        if row["contender"] == "tcp" and size_bytes >= 64_000_000:
            what = f"tcp: goodput ÷ plain sockets at {size_bytes / 1e6:g} MB, end of interval"
            yield what, float(row["of_ceiling_high"]), 0.9, float("inf")
        if row["contender"] == "tcp" and size_bytes >= 1_000_000 and row["wire_of_payload"]:
            what = f"tcp: wire ÷ content at {size_bytes / 1e6:g} MB"
            yield what, float(row["wire_of_payload"]), 1.0, 1.005
    for row in rows_of(folder / "transport.round_trips.csv"):
        if row["contender"] == "tcp":
            what = "tcp: round trip ÷ plain sockets, begin of interval"
            yield what, float(row["of_ceiling_low"]), 0.0, 1.5


def goals_of_steps(folder: Path) -> Iterator[tuple[str, float, float, float]]:
    """Those of a step's parts."""
    for row in rows_of(folder / "overhead.csv"):
        name = f"{row['mode']}, {row['phase']}"
        if row["mode"] == "naive":
            share = float(row["phase_of_transfer_and_compute"])
            yield f"{name}: phase ÷ (transfer + compute)", share, 0.0, 1.1
        if (row["mode"], row["phase"]) == ("semantic", "decode"):
            milliseconds = float(row["beyond_compute_s"]) * 1e3
            yield f"{name}: step − compute (ms)", milliseconds, 0.0, 0.5


def of_plain_sockets(folder: Path, mode: str) -> dict[str, list[float]]:
    """By phase, of each repeat: tensor bytes ÷ the time they took, copies to and from the device
    included, ÷ what plain sockets carried in the same job.
    """
    ratios: dict[str, list[float]] = {}
    for file in sorted((folder / "runs" / mode).glob("*.json")):
        record = json.loads(file.read_text())
        for phase in record["phases"][1:]:
            moved_bytes = sum(sum(step[way].values()) for step in phase["steps"] for way in _WAYS)
            taken_s = sum(step[span] for step in phase["steps"] for span in _TRANSFER)
            plain_bytes_per_s = record["yardstick"]["socket_bytes_per_s"]
            ratios.setdefault(phase["name"], []).append(moved_bytes / taken_s / plain_bytes_per_s)
    return ratios


def main() -> None:
    """Command line: the folder of the experiment's results."""
    missed = 0
    for what, seen, low, high in goals(Path(sys.argv[1])):
        holds = low <= seen <= high
        missed += not holds
        print(f"{'holds ' if holds else 'MISSED'}  {what}: {seen:.4g}, aim {low:g} to {high:g}")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
