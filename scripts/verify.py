#!/usr/bin/env python3
"""Print what the data say of the claims, beside recorded results; fail if one is contradicted."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script


def verify(
    claims: Annotated[Path, "what the data say of each claim (CSV)"],
    claims_report: Annotated[Path, "the same to read (Markdown)"],
    versus: Annotated[Path, "bytes and ratios beside recorded ones (CSV)"],
    versus_report: Annotated[Path, "the same to read (Markdown)"],
) -> None:
    from semgap.analysis.claims.evaluation import OutcomeRow
    from semgap.analysis.gates.verification import check_bytes, check_claims
    from semgap.analysis.numbers.versus import VersusRow
    from semgap.plumbing.files import read_rows

    for report in (claims_report, versus_report):
        print(report.read_text(encoding="utf-8"))
    check_claims(read_rows(claims, OutcomeRow), claims_report)
    check_bytes(read_rows(versus, VersusRow), versus_report)


if __name__ == "__main__":
    run_script(verify)
