"""What makes `make verify` fail."""

from collections.abc import Sequence
from pathlib import Path

from semgap.analysis.claims.evaluation import OutcomeRow, Verdict
from semgap.analysis.numbers.versus import Agreement, VersusRow
from semgap.analysis.reports.claims import accepted_text, seen_text
from semgap.errors import ClaimError


def check_claims(outcomes: Sequence[OutcomeRow], report: Path) -> None:
    """Check that no claim is contradicted.

    Raises:
        ClaimError: names the claims, what they accept and what was seen.
    """
    failed = [row for row in outcomes if row.verdict is Verdict.FAIL]
    if failed:
        said = "; ".join(
            f"{row.claim} ({row.sentence.rstrip('.')}){f', {row.phase}' if row.phase else ''}: "
            f"{row.what} is {seen_text(row)}, accepted is {accepted_text(row)}"
            for row in failed
        )
        raise ClaimError(
            f"The data contradict {said}.",
            f"'{report}' has all claims. What scatters may be measured again on a quiet machine "
            "(delete the runs/ folder beside it); what does not is a finding about the modes.",
        )


def check_bytes(rows: Sequence[VersusRow], report: Path) -> None:
    """Check that the bytes are those of the recorded experiment.

    Raises:
        ClaimError: names the phases and modes that moved something else.
    """
    differing = [row for row in rows if row.agreement is Agreement.DIFFERS]
    if differing:
        said = "; ".join(
            f"{row.phase} of {row.mode} moved {row.here:,.0f} bytes, recorded are "
            f"{row.recorded:,.0f} ± {row.tolerance:,.0f}"
            for row in differing
        )
        raise ClaimError(
            f"Against results/reference/{differing[0].reference}, {said}.",
            f"'{report}' has all numbers. Bytes do not depend on hardware: a placement, the "
            "model or the capture is another than it was.",
        )
