"""stats.md, and what the notes under the table say of ratios."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from semgap.analysis.comparison import PROPOSED_MODE, ComparisonRow, DriftRow
from semgap.analysis.correctness import REFERENCE_MODE
from semgap.analysis.rows import PHASES, TableRow, significant
from semgap.analysis.statistics import CONFIDENCE
from semgap.plumbing.markup import escaped_markdown, markdown_table
from semgap.policy import Label

_ABSENT = "–"
_TOO_FEW = """
So few repeats can never give an exact p below 0.05: look at ratios, intervals and effects, not for
significance.
"""
Row = TypeVar("Row", ComparisonRow, DriftRow)


def statistics_markdown(
    rows: Sequence[TableRow],
    comparisons: Sequence[ComparisonRow],
    drifts: Sequence[DriftRow],
    labels: Mapping[str, Label],
) -> str:
    """Latency of each mode, the ratios between modes, and what so few repeats cannot say."""
    repeats = sorted({row.quantities["latency_s"].n for row in rows})
    sections = [
        f"# Statistics of latency, n = {' or '.join(map(str, repeats))}\n",
        _of_each_mode(rows),
        *(
            _beside(baseline, _in_order(_with(comparisons, baseline), labels), labels)
            for baseline in (REFERENCE_MODE, PROPOSED_MODE)
            if _with(comparisons, baseline)
        ),
        _of_order(_in_order(drifts, labels), labels),
    ]
    return "\n".join(sections)


def _with(comparisons: Sequence[ComparisonRow], baseline: str) -> list[ComparisonRow]:
    return [row for row in comparisons if row.baseline == baseline]


def _in_order(rows: Iterable[Row], labels: Mapping[str, Label]) -> list[Row]:
    """Rows of a phase and mode in the order of the table."""
    modes = list(labels)
    return sorted(rows, key=lambda row: (PHASES.index(row.phase), modes.index(row.mode)))


def ratio_text(ratio: float, low: float | None, high: float | None) -> str:
    """A ratio and its interval: "1.259× (1.253–1.267)"."""
    interval = "" if low is None or high is None else f" ({significant(low)}–{significant(high)})"
    return f"{significant(ratio)}×{interval}"


def _ratio(row: ComparisonRow) -> str:
    return ratio_text(row.ratio, row.ratio_low, row.ratio_high)


def supported(comparisons: Sequence[ComparisonRow], labels: Mapping[str, Label]) -> Iterator[str]:
    """What the data say of the framework-level mode beside local, a sentence for each phase."""
    for row in comparisons:
        if (row.mode, row.baseline) != (PROPOSED_MODE, REFERENCE_MODE):
            continue
        names = escaped_markdown(labels[row.mode].text), escaped_markdown(labels[row.baseline].text)
        detectable = (
            "one repeat shows no scatter, so no difference can be told from chance"
            if row.detectable_share is None
            else "with this n and scatter a difference below "
            f"{100 * row.detectable_share:.0f} % of it is missed in more than one of five "
            "experiments"
        )
        yield (
            f"{names[0]}, {row.phase}: {_ratio(row)} the latency of {names[1]}, geometric mean "
            f"over {row.rounds} rounds and 95 % interval (BCa bootstrap, at most the range of what "
            f"was seen); {detectable}."
        )


def _of_each_mode(rows: Sequence[TableRow]) -> str:
    cells = []
    for row in rows:
        found = row.quantities["latency_s"]
        cells.append(
            [
                row.phase.capitalize(),
                escaped_markdown(row.label),
                str(found.n),
                significant(found.mean),
                _ABSENT if found.std is None else significant(found.std),
                significant(found.median),
                significant(found.mad),
                f"{significant(found.least)}–{significant(found.most)}",
                _ABSENT
                if found.interval_low is None or found.interval_high is None
                else f"{significant(found.interval_low)}–{significant(found.interval_high)}",
            ]
        )
    header = ("Phase", "Mode", "n", "Mean (s)", "Std dev", "Median", "MAD", "Range", "95 % of mean")
    return f"""\
## Each mode

MAD is the median absolute deviation from the median, not scaled; the interval of the mean is
Student's: 2.48 standard deviations to each side for 3 repeats, 0.72 for 10.

{markdown_table(header, cells, text_columns=2)}
"""


def _beside(baseline: str, rows: Sequence[ComparisonRow], labels: Mapping[str, Label]) -> str:
    cells = [
        [
            row.phase.capitalize(),
            escaped_markdown(labels[row.mode].text),
            _ratio(row),
            str(row.rounds),
            _number(row.permutation_p),
            _number(row.holm_p),
            _number(row.smallest_p),
            _number(row.welch_p),
            _number(row.hedges_g),
            _ABSENT if row.detectable_share is None else f"{row.detectable_share:.0%}",
        ]
        for row in rows
    ]
    header = (
        *("Phase", "Mode", "Ratio (95 %)", "Rounds", "p exact", "p Holm", "Least p", "p Welch"),
        *("Hedges' g", "Detectable"),
    )
    too_few = any(row.smallest_p > 1 - CONFIDENCE for row in rows)
    return f"""\
## Beside {escaped_markdown(labels[baseline].text)}

Ratios are of the same round. *p exact* is of the permutation test of the means, corrected by Holm
for all rows, beside the least that the number of repeats allows. *Detectable* is the smallest
difference that a t test finds in 4 of 5 such experiments, as a share of the other mode's mean.
{_TOO_FEW if too_few else ""}
{markdown_table(header, cells, text_columns=2)}
"""


def _of_order(drifts: Sequence[DriftRow], labels: Mapping[str, Label]) -> str:
    cells = [
        [
            row.phase.capitalize(),
            escaped_markdown(labels[row.mode].text),
            _number(row.tau),
            _number(row.p),
            row.outliers or "none",
        ]
        for row in drifts
    ]
    header = ("Phase", "Mode", "Kendall's tau", "p", "Outlying repeats")
    return f"""\
## Order and outliers

Tau is of latency and the order of the repeats. With five repeats or more, one is named where its
modified z-score is above 3.5; none is ever left out.

{markdown_table(header, cells, text_columns=2)}
"""


def _number(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.3g}"
