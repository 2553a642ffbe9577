"""claims.md: each claim, what was accepted, what was seen."""

from collections.abc import Sequence

from semgap.analysis.claims.evaluation import OutcomeRow, Verdict, worst
from semgap.analysis.numbers.numbers import Numbers
from semgap.analysis.reports.columns import ABSENT, significant
from semgap.plumbing.markup import markdown_table


def verdicts(outcomes: Sequence[OutcomeRow]) -> dict[str, Verdict]:
    """The verdict on each claim, by id: the worse of its phases'."""
    found: dict[str, list[Verdict]] = {}
    for row in outcomes:
        found.setdefault(row.claim, []).append(row.verdict)
    return {claim: worst(each) for claim, each in found.items()}


def count_text(outcomes: Sequence[OutcomeRow]) -> str:
    """How many claims passed: "9 PASS, 0 FAIL, 2 NOT SUPPORTED BY THIS DATA"."""
    found = list(verdicts(outcomes).values())
    return ", ".join(
        f"{count} {one}" for one in Verdict if (count := found.count(one)) or one is Verdict.FAIL
    )


def claims_markdown(numbers: Numbers) -> str:
    """Each claim with its verdict, then the numbers."""
    outcomes = numbers.claims
    sentences = {row.claim: row.sentence for row in outcomes}
    listed = "\n".join(
        f"- {name}: **{found}**. {sentences[name]}" for name, found in verdicts(outcomes).items()
    )
    details = markdown_table(
        ("Claim", "Phase", "What", "Accepted", "Seen", "n", "Verdict", "From"),
        [
            [
                row.claim,
                (row.phase or ABSENT).capitalize(),
                row.what or ABSENT,
                accepted_text(row),
                seen_text(row),
                str(row.n or ABSENT),
                row.verdict,
                f"`{row.source}`",
            ]
            for row in outcomes
        ],
        text_columns=8,
    )
    return f"""\
# Claims

{listed}

Ratios of numbers that scatter are seen with the 95 % interval of their geometric mean over the
rounds, by Student's t of the logarithms, as in `stats.md`. {Verdict.PASS}: all of the interval is
accepted. {Verdict.FAIL}: none of it is.
{Verdict.NOT_SUPPORTED}: a part of it is, or nothing was measured.
{Verdict.NOT_APPLICABLE}: the claim speaks of other models or devices. Bytes and tokens do not
scatter: they are seen with their range, and one number that is not accepted is a {Verdict.FAIL}.
The claims are those of `config/claims.yaml`.

{details}
"""


def accepted_text(row: OutcomeRow) -> str:
    """The bounds: "at least 10"."""
    bounds = (("at least", row.at_least), ("at most", row.at_most))
    return ", ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)


def seen_text(row: OutcomeRow) -> str:
    """What was seen, with its interval or range, or why nothing was."""
    if row.seen is None:
        return row.why or ABSENT
    seen = significant(row.seen)
    if row.low is None or row.high is None:
        return f"{seen}; {row.why}"
    if row.low == row.high:
        return seen
    return f"{seen} ({significant(row.low)}–{significant(row.high)})"
