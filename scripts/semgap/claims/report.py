"""Outcomes as Markdown, and as the one error that a failed check ends with."""

from __future__ import annotations

from collections.abc import Sequence

from semgap.claims.outcome import Outcome, Status, counted, failed
from semgap.errors import CheckError
from semgap.markdown import markdown_table

_HEADER = ("Status", "Must pass", "Claim", "Figures", "Files")
_EXPLANATION = (
    "Claims and thresholds are in `config/claims.yaml`. Bytes are compared exactly, in every "
    "repeat. A claim on a ratio of latencies passes if the 95 % interval of the ratio of means "
    "(Fieller) lies wholly on the claimed side of the threshold, fails if it lies wholly on the "
    "other, and is not supported by this data otherwise. A claim on the order of all repeats "
    "passes if no two are in another order, fails if all are in the opposite one, and needs three "
    "repeats of each mode. Files are relative to the experiment's folder."
)


def claims_report(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as Markdown, what must pass and did not named first."""
    table = markdown_table(
        _HEADER,
        [
            (
                outcome.status,
                "yes" if outcome.required else "no",
                f"`{outcome.id}`: {outcome.sentence}",
                outcome.figures,
                ", ".join(f"`{source}`" for source in outcome.sources.split(", ")),
            )
            for outcome in outcomes
        ],
        text_columns=len(_HEADER),
    )
    return "\n\n".join(("# Claims", *summary(outcomes), table, _EXPLANATION, ""))


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """Paragraphs: what must pass and did not, what else failed, and how many have each status."""
    required = [outcome for outcome in outcomes if outcome.required]
    missing = [outcome for outcome in failed(outcomes) if outcome.required]
    others = [outcome for outcome in failed(outcomes) if not outcome.required]
    if missing:
        first = f"Must pass and did not: {_named(missing)}."
    else:
        first = f"All {len(required)} claims that must pass in this experiment do."
    also = [f"Also contradicted by the data: {_named(others)}."] if others else []
    return [first, *also, f"{counted(outcomes)}."]


def require_passed(outcomes: Sequence[Outcome]) -> None:
    """Accept outcomes of which none contradicts a claim and none that must pass is open.

    Raises:
        CheckError: names each that is not accepted, with its figures.
    """
    unaccepted = failed(outcomes)
    if unaccepted:
        figures = " ".join(f"'{outcome.id}': {outcome.figures}." for outcome in unaccepted)
        raise CheckError(
            f"{len(unaccepted)} of {len(outcomes)} claims failed, or must pass and are not "
            f"supported by this data. {figures}",
            "claims.md of the experiment names the files; a latency that is not supported by the "
            "data may need more repeats (workload.repeats).",
        )


def _named(outcomes: Sequence[Outcome]) -> str:
    return ", ".join(f"`{outcome.id}` ({_short(outcome.status)})" for outcome in outcomes)


def _short(status: Status) -> str:
    return "not supported" if status is Status.NOT_SUPPORTED else status.value
