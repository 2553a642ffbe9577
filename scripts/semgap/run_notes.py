"""What disturbed single runs, as sentences under the table."""

from __future__ import annotations

from collections.abc import Sequence

from semgap.checks.evidence import RunEvidence
from semgap.checks.times import parts_warnings
from semgap.conditions import RunConditions
from semgap.meters.disturbances import warnings_between


def run_notes(runs: Sequence[RunEvidence], conditions: Sequence[RunConditions]) -> list[str]:
    """One line for each run that something may have disturbed, in the order of the runs.

    Args:
        conditions: the machine around the runs, in the same order.
    """
    notes = []
    for run, around in zip(runs, conditions, strict=True):
        disturbances = warnings_between(
            around.before, around.after, around.own_cpu_s, around.load_before
        )
        found = (*disturbances, *parts_warnings(run))
        if found:
            notes.append(f"{run.name}: {' '.join(found)}")
    return notes
