"""The table's rows, and how its numbers are written."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semgap.analysis.summary import SummaryRow
from semgap.plumbing.markup import escaped_latex
from semgap.policy import Label

PHASES = ("prefill", "decode")
ABSENT = "–"
_BYTES_PER_GB = 1e9


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

    @property
    def latency(self) -> tuple[str, str]:
        """Mean and standard deviation in seconds, as the table shows them."""
        row = self.quantities["latency_s"]
        return with_deviation(row.mean, row.std)


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


def significant(value: float) -> str:
    """A number to four significant digits, in powers of ten where it is very small."""
    if value == 0:
        return "0"
    return f"{value:#.4g}".rstrip(".")


def with_deviation(mean: float, deviation: float | None) -> tuple[str, str]:
    """A mean and its standard deviation to the same decimal place.

    The deviation has two significant digits, unless the mean needs more decimals to show three.
    """
    if deviation is None:
        return significant(mean), ABSENT
    decimals = max(_decimals(deviation, 2), _decimals(mean, 3), 0)
    return f"{mean:.{decimals}f}", f"{deviation:.{decimals}f}"


def _decimals(value: float, digits: int) -> int:
    if value == 0:
        return 0
    return digits - 1 - math.floor(math.log10(abs(value)))


def latency_text(row: TableRow) -> str:
    """Latency in seconds, with its standard deviation if there is one."""
    mean, deviation = row.latency
    return mean if deviation == ABSENT else f"{mean} ± {deviation}"


def gigabytes_text(row: TableRow) -> str:
    """Network traffic in GB (1e9 bytes)."""
    return significant(row.quantities["network_bytes"].mean / _BYTES_PER_GB)
