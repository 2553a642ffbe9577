"""Each claim's number beside what the claim accepts."""

from matplotlib.figure import Figure

from semgap.analysis.claims.evaluation import Verdict
from semgap.analysis.figures import BLACK, GREEN, SKY, VERMILION, Row, label_rows, log_axis, stacked
from semgap.analysis.numbers.numbers import Numbers
from semgap.analysis.reports.claims import accepted_text, seen_text

_COLOURS = {Verdict.PASS: GREEN, Verdict.FAIL: VERMILION}


def claims(numbers: Numbers) -> Figure:
    """Draw what was seen with its interval, and the accepted side of each bound as a line."""
    shown = [row for row in numbers.claims if row.seen is not None]
    figure, (axes,) = stacked([len(shown)])
    ends = [
        end
        for row in shown
        for end in (row.low, row.high, row.at_least, row.at_most)
        if end is not None and end > 0
    ]
    low, high = min(ends, default=0.1) / 3, max(ends, default=10) * 3
    axes.set_xlim(low, high)
    rows = []
    for place, row in enumerate(shown):
        accepted = (row.at_least or low, high if row.at_most is None else max(row.at_most, low))
        axes.plot(accepted, [place, place], "-", color=SKY, linewidth=4, alpha=0.4)
        seen = [max(one, low) for one in (row.low, row.seen, row.high) if one is not None]
        axes.plot(seen, [place] * len(seen), "-", color=BLACK, linewidth=1)
        centre = max(row.seen or 0.0, low)
        axes.plot(centre, place, "o", color=_COLOURS.get(row.verdict, BLACK), clip_on=False)
        name = f"{row.claim}{f', {row.phase}' if row.phase else ''}: {accepted_text(row)}"
        rows.append(Row(name, seen_text(row)))
    label_rows(axes, rows)
    log_axis(axes)
    return figure
