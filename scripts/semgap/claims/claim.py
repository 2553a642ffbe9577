"""What every claim has."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from semgap.claims.evidence import Evidence
from semgap.claims.outcome import Finding


class Claim(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """An expected outcome that data can confirm, contradict, or leave open.

    Attributes:
        sentence: the claim in words, as the report prints it.
        must_pass: names of the experiments in which anything but PASS is a failure.
    """

    id: str
    sentence: str
    must_pass: tuple[str, ...]

    def findings(self, evidence: Evidence) -> Iterable[Finding]:
        """Make each comparison that the claim consists of."""
        raise NotImplementedError

    def sources(self) -> tuple[str, ...]:
        """The files that the comparisons use, relative to the experiment's folder."""
        raise NotImplementedError
