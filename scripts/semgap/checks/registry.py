"""All checks of an experiment's runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from semgap.checks import answers, counts, setups, times
from semgap.checks.catalogue import Check, Finding
from semgap.checks.evidence import Evidence

# Without three-counts and published, which look at rows that are files themselves, and those of the
# capture, which stand in front of its counting.
CHECKS: Mapping[Check, Callable[[Evidence], Iterable[Finding]]] = MappingProxyType(
    {
        Check.OWN_MEASUREMENT: setups.own_measurement,
        Check.SAME_SETUP: setups.same_setup,
        Check.SAME_WORKLOAD: setups.same_workload,
        Check.SAME_ANSWER: answers.same_answer,
        Check.CONTENT: counts.content,
        Check.PARTS_ADD_UP: times.parts_add_up,
        Check.CLOCKS: times.clocks,
        Check.COMPUTE_CLOCK: times.compute_clock,
        Check.UTILISATION: times.utilisation,
    }
)


def run_checks(evidence: Evidence, rows: Sequence[counts.CountRow]) -> list[Finding]:
    """Everything that is wrong with the runs, check by check."""
    found = [finding for check in CHECKS.values() for finding in check(evidence)]
    return [*found, *counts.three_counts(rows)]
