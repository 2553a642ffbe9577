#!/usr/bin/env python3
"""Build a small experiment again and again, unplanted: a check that fires gives a false alarm.

Ends with a failure if one does. Warnings under the table are no alarms, since a machine may really
have been disturbed; they are listed as they are.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "workflow"))

from experiment import Experiment, copy_project, free_port

_TRANSPORTS = ("torch_rpc", "tcp")
_COLUMNS = ("run", "transport", "built", "findings", "warnings", "took_s", "said")


def build_once(experiment: Experiment, number: int, transport: str) -> dict[str, object]:
    """Measure everything of the experiment anew; returns a row."""
    shutil.rmtree(experiment.folder / "results", ignore_errors=True)
    experiment.configure(server={"transport": transport, "port": free_port()})
    begin_s = time.monotonic()
    done = experiment.snakemake(timeout_s=600)
    took_s = time.monotonic() - begin_s
    findings = _rows(experiment.results / "checks.csv")
    table = experiment.results / "table.md"
    notes = table.read_text().splitlines() if table.exists() else []
    warnings = [note for note in notes if note.startswith("- Warning:")]
    said = [f"{finding['check']} at {finding['where']}: {finding['what']}" for finding in findings]
    errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
    return {
        "run": number,
        "transport": transport,
        "built": done.returncode == 0,
        "findings": len(findings),
        "warnings": len(warnings),
        "took_s": round(took_s, 1),
        "said": " ".join([*said, *errors, *(warning.removeprefix("- ") for warning in warnings)]),
    }


def _rows(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="how often (default: %(default)s)")
    parser.add_argument("--rows", required=True, type=Path, help="writes this file (CSV)")
    arguments = parser.parse_args()
    arguments.rows.parent.mkdir(parents=True, exist_ok=True)
    alarms = 0
    with tempfile.TemporaryDirectory() as folder, arguments.rows.open("w", newline="") as file:
        experiment = copy_project(Path(folder), free_port())
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        for number in range(1, arguments.runs + 1):
            row = build_once(experiment, number, _TRANSPORTS[number % len(_TRANSPORTS)])
            writer.writerow(row)
            file.flush()
            alarms += not row["built"] or row["findings"] != 0
            print(", ".join(f"{name}: {value}" for name, value in row.items()), flush=True)
    print(f"{alarms} false alarms in {arguments.runs} runs")
    sys.exit(alarms > 0)


if __name__ == "__main__":
    main()
