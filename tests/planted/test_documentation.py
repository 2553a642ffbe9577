"""The list of checks in docs/checks.md is that of the product and of this suite."""

from __future__ import annotations

from mutants import MUTANTS
from semgap.checks.catalogue import EXPLANATIONS
from small_models import PROJECT


def test_the_documented_checks_are_those_that_are_tested():
    rows = [
        f"| `{check}` | {explanation.asserts} | "
        f"{'; '.join(mutant.title for mutant in MUTANTS if mutant.check is check)} |"
        for check, explanation in EXPLANATIONS.items()
    ]
    documented = [
        line
        for line in (PROJECT / "docs" / "checks.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    assert documented == rows, "\n".join(rows)


def test_every_check_is_met_by_an_error():
    assert {mutant.check for mutant in MUTANTS} == set(EXPLANATIONS)
