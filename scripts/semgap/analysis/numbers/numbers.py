"""All numbers of an experiment: what reports and figures are made from."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semgap.analysis.claims.evaluation import OutcomeRow
from semgap.analysis.expectation import Expectation
from semgap.analysis.numbers.comparison import ComparisonRow
from semgap.analysis.numbers.counts import CountRow
from semgap.analysis.numbers.rows import PHASES, TableRow, table_rows
from semgap.analysis.numbers.summary import RepeatRow, SummaryRow
from semgap.measurement.run_record import RunRecord
from semgap.model.manifest import Manifest
from semgap.policy import Label


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
