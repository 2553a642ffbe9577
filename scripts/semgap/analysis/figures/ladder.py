"""The share of the gap between naive and semantic that each mode closes."""

from matplotlib.figure import Figure

from semgap.analysis.figures import BLUE, VERMILION, Row, label_rows, stacked
from semgap.analysis.numbers.ladder import ladder as rungs_of
from semgap.analysis.numbers.numbers import Numbers
from semgap.analysis.reports.columns import ABSENT

# What is farther stands at the edge; the text says where it is.
_LEFT, _RIGHT = -0.2, 1.2


def ladder(numbers: Numbers) -> Figure:
    """A row per mode with a dot for bytes and one for seconds."""
    rungs = rungs_of(numbers)
    figure, (axes,) = stacked([len(rungs)], legend_in=0.2)
    rows = []
    for place, rung in enumerate(rungs):
        closed = (rung.closed_bytes_ratio, rung.closed_s_ratio)
        for ratio, mark, colour in zip(closed, "sd", (VERMILION, BLUE), strict=True):
            if ratio is not None:
                axes.plot(min(max(ratio, _LEFT), _RIGHT), place, mark, color=colour, clip_on=False)
        rows.append(Row(rung.label, ", ".join(map(_said, closed))))
    label_rows(axes, rows)
    axes.set_title("Share of the gap that is closed")
    axes.set_xlim(_LEFT, _RIGHT)
    axes.xaxis.set_major_formatter(lambda ratio, _place: f"{100 * ratio:.0f} %")
    for name, mark, colour in (("bytes", "s", VERMILION), ("seconds", "d", BLUE)):
        axes.plot([], [], mark, color=colour, label=name)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _said(ratio: float | None) -> str:
    return ABSENT if ratio is None else f"{100 * ratio:.0f} %"
