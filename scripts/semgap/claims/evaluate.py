"""From claims and data to outcomes."""

from __future__ import annotations

from collections.abc import Sequence

from semgap.claims.claim import Claim
from semgap.claims.evidence import Evidence
from semgap.claims.outcome import Outcome, combined


def evaluate(claims: Sequence[Claim], evidence: Evidence) -> list[Outcome]:
    """Hold each claim against the data, in the order of the claims."""
    return [_outcome(claim, evidence) for claim in claims]


def _outcome(claim: Claim, evidence: Evidence) -> Outcome:
    findings = list(claim.findings(evidence))
    return Outcome(
        id=claim.id,
        status=combined(findings),
        required=evidence.experiment in claim.must_pass,
        sentence=claim.sentence,
        figures="; ".join(finding.figures for finding in findings),
        sources=", ".join(claim.sources()),
    )
