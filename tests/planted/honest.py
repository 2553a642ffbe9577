"""Honest runs in a row, quiet and beside a load: no check may refuse one, no warning accuse one.

Writes docs/honest-runs.md, and ends with 1 if there was a false alarm.
"""

import contextlib
import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from small_experiment import MODES
from test_planted import Outcome, run

from small_models import PROJECT

RUNS = 20
REPORT = PROJECT / "docs" / "honest-runs.md"
# It ends with this process, also where that is killed: it would slow what is measured next.
BUSY = "import os; owner = os.getppid()\nwhile os.getppid() == owner: pass"


@dataclass(frozen=True)
class Seen:
    """One honest experiment: what became of it, and how near it came to the bounds."""

    outcome: Outcome
    clock: float  # the largest unexplained time ÷ what is expected
    span: float  # the largest span ÷ its budget


@contextlib.contextmanager
def load_of_one_core() -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", BUSY]) as busy:
        try:
            yield
        finally:
            busy.kill()


def largest(file: Path, above: str, below: str) -> float:
    with file.open(newline="", encoding="utf-8") as text:
        return max(float(row[above]) / float(row[below]) for row in csv.DictReader(text))


def see(folder: Path) -> Seen:
    """Measure the experiment anew, and look at it."""
    outcome = run(PROJECT, folder, *MODES)
    print(outcome, flush=True)
    if outcome.caught_by not in ("nothing", "warning"):
        return Seen(outcome, 0.0, 0.0)
    return Seen(
        outcome,
        largest(folder / "clocks.csv", "quick_unnamed_s", "allowed_s"),
        largest(folder / "budgets.csv", "quick_s", "budget_s"),
    )


def row_of(name: str, seen: list[Seen]) -> str:
    refused = [one for one in seen if one.outcome.caught_by not in ("nothing", "warning")]
    warned = [one for one in seen if one.outcome.caught_by == "warning"]
    clock, span = (max(getattr(one, which) for one in seen) for which in ("clock", "span"))
    return f"| {name} | {len(seen)} | {len(refused)} | {len(warned)} | {clock:.2f} | {span:.2f} |"


def main() -> None:
    rows, alarms = [], []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, circumstance in (
            ("quiet", contextlib.nullcontext),
            ("beside a load of one core", load_of_one_core),
        ):
            with circumstance():
                seen = [see(folder) for _ in range(RUNS)]
            rows.append(row_of(name, seen))
            print(rows[-1], flush=True)
            alarms += [one.outcome for one in seen if one.outcome.caught_by != "nothing"]
    REPORT.write_text(report(rows), encoding="utf-8")
    sys.exit(bool(alarms))


def report(rows: list[str]) -> str:
    lines = "\n".join(rows)
    return f"""\
# Honest runs

The control of docs/planted-errors.md: the same experiment, measured and published again and again
without an error, on two cores. A run is four modes, three repeats each. `make honest` writes this
page; it takes half an hour.

| circumstances | runs | refused | warned of a wait | unexplained ÷ expected | span ÷ budget |
|---|---|---|---|---|---|
{lines}

The last two columns are the largest of all runs, modes and phases: how near an honest run came to a
warning, which is at 1. Of fewer than five steps, as setup and prefill have here, no wait is warned
of.
"""


if __name__ == "__main__":
    main()
