"""The rows of the published table: the phases of each mode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semgap.analysis.numbers.summary import SummaryRow
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
