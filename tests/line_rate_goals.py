#!/usr/bin/env python3
"""Compare what `make line-rate` measured with what is aimed at; ends with 1 if a goal is missed."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

Rows = list[dict[str, str]]


def rows_of(path: Path) -> Rows:
    """The lines of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def goals(folder: Path) -> Iterator[tuple[str, float, float, float]]:
    """Each goal: what it is of, what was seen, and the bounds it should lie between."""
    goodput = rows_of(folder / "transport.goodput.csv")
    ceiling = 0.0
    for row in goodput:
        size_bytes = int(row["payload_bytes"])
        if row["contender"] == "plain sockets" and row["captured_bytes_per_s"]:
            ceiling = float(row["captured_bytes_per_s"])
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
    for row in rows_of(folder / "overhead.csv"):
        name = f"{row['mode']}, {row['phase']}"
        if row["mode"] == "naive":
            share = float(row["phase_of_transfer_and_compute"])
            yield f"{name}: phase ÷ (transfer + compute)", share, 0.0, 1.1
            share = float(row["goodput_bytes_per_s"]) / ceiling
            yield f"{name}: transfer goodput ÷ plain sockets", share, 0.9, float("inf")
        if (row["mode"], row["phase"]) == ("semantic", "decode"):
            milliseconds = float(row["beyond_compute_s"]) * 1e3
            yield f"{name}: step − compute (ms)", milliseconds, 0.0, 0.5


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
