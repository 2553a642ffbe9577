#!/usr/bin/env python3
"""Print what the data say of the claims and of recorded results; fail if one is contradicted."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script


def verify(
    table: Annotated[Path, "the published table (Markdown)"],
    claims: Annotated[Path, "what the data say of each claim (CSV)"],
    claims_report: Annotated[Path, "the same to read (Markdown)"],
    versus: Annotated[Path, "bytes and ratios beside recorded ones (CSV)"],
    versus_report: Annotated[Path, "the same to read (Markdown)"],
) -> None:
    import os

    from semgap.analysis.claims.evaluation import OutcomeRow
    from semgap.analysis.gates.verification import check_bytes, check_claims
    from semgap.analysis.numbers.versus import VersusRow, agreement_text
    from semgap.analysis.reports.claims import count_text, verdicts
    from semgap.plumbing.files import read_rows

    outcomes, beside = read_rows(claims, OutcomeRow), read_rows(versus, VersusRow)
    sentences = {row.claim: row.sentence for row in outcomes}
    for claim, verdict in verdicts(outcomes).items():
        print(f"{claim:4} {verdict:27} {sentences[claim]}")
    print(f"What was seen: {claims_report}. Beside recorded results: {versus_report}.", flush=True)
    check_claims(outcomes, claims_report)
    check_bytes(beside, versus_report)
    warned = table.read_text(encoding="utf-8").count("**Warning**")
    print(
        f"VERIFIED. Claims: {count_text(outcomes)}. Bytes: {agreement_text(beside)}. "
        f"Warnings under the table: {warned}. Load average now: {os.getloadavg()[0]:.1f}."
    )


if __name__ == "__main__":
    run_script(verify)
