"""The gate between what the checks found and what is published."""

from __future__ import annotations

from collections.abc import Sequence

from semgap.checks.catalogue import EXPLANATIONS, Finding
from semgap.errors import CheckError


def gate(findings: Sequence[Finding]) -> None:
    """Let nothing pass that a check has found wrong.

    Raises:
        CheckError: names the first finding, its check, how many there are, and what to do.
    """
    if not findings:
        return
    first = findings[0]
    others = f" {len(findings) - 1} more findings are in checks.md." if len(findings) > 1 else ""
    raise CheckError(
        f"No table is built: check {first.check} failed at {first.where}: {first.what}.{others}",
        EXPLANATIONS[first.check].remedy,
    )
