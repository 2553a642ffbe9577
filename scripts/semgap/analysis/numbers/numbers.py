"""All numbers of an experiment: what reports and figures are made from."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from semgap.analysis.claims.evaluation import OutcomeRow
from semgap.analysis.expectation import Expectation
from semgap.analysis.numbers.budget import BudgetRow
from semgap.analysis.numbers.comparison import ComparisonRow
from semgap.analysis.numbers.counts import CountRow
from semgap.analysis.numbers.same_work import SameWorkRow
from semgap.analysis.numbers.second_clock import ClockRow
from semgap.analysis.numbers.summary import RepeatRow, SummaryRow
from semgap.measurement.run_record import RunRecord
from semgap.model.manifest import Manifest
from semgap.plumbing.markup import escaped_latex
from semgap.policy import Label

PHASES = ("prefill", "decode")


@dataclass(frozen=True)
class TableRow:
    """A phase of a mode, with the mode's name as text and as LaTeX code."""

    phase: str
    mode: str
    label: str
    latex_label: str
    quantities: Mapping[str, SummaryRow]

    def mean(self, quantity: str) -> float | None:
        """The mean over the repeats, if it was measured."""
        found = self.quantities.get(quantity)
        return None if found is None else found.mean


def table_rows(
    summary: Sequence[SummaryRow], labels: Mapping[str, Label], phases: Sequence[str]
) -> list[TableRow]:
    """The rows of the given phases: phase by phase, the modes in the order of ``labels``."""
    quantities: dict[tuple[str, str], dict[str, SummaryRow]] = {}
    for row in summary:
        quantities.setdefault((row.phase, row.mode), {})[row.quantity] = row
    return [
        TableRow(
            phase=phase,
            mode=mode,
            label=label.text,
            latex_label=escaped_latex(label.text) if label.latex is None else label.latex,
            quantities=quantities[phase, mode],
        )
        for phase in phases
        for mode, label in labels.items()
    ]


class AnswerRow(msgspec.Struct, frozen=True):
    """What was asked and answered, where the prompt is a text."""

    prompt_text: str
    continuation: str


@dataclass(frozen=True)
class Numbers:
    """What was asked, what ran, and the rows of each file of numbers."""

    expectation: Expectation
    manifest: Manifest
    records: Sequence[RunRecord]  # every run, of which the first represents what all share
    counts: Sequence[CountRow] = ()
    repeats: Sequence[RepeatRow] = ()
    summary: Sequence[SummaryRow] = ()
    comparisons: Sequence[ComparisonRow] = ()
    claims: Sequence[OutcomeRow] = ()
    clocks: Sequence[ClockRow] = ()
    same_work: Sequence[SameWorkRow] = ()
    budgets: Sequence[BudgetRow] = ()
    answer: Sequence[AnswerRow] = ()  # one at most

    @property
    def labels(self) -> Mapping[str, Label]:
        """The modes of the table, in its order."""
        return self.expectation.labels

    @functools.cached_property
    def table(self) -> Sequence[TableRow]:
        """The rows of the published table."""
        return table_rows(self.summary, self.labels, PHASES)

    @functools.cached_property
    def setup(self) -> Sequence[TableRow]:
        """The phase in which weights are shipped once."""
        return table_rows(self.summary, self.labels, ("setup",))
