"""A decode step of each mode and system ÷ that of itself without a network."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from semgap.analysis.figures import BLUE, VERMILION, Row, label_rows, log_axis, stacked
from semgap.analysis.numbers.peers import PeerRow
from semgap.analysis.reports.columns import significant


def peers(rows: Sequence[PeerRow]) -> Figure:
    """A row per mode and system that crosses a network."""
    shown = [
        (row, row.own_local_ratio)
        for row in rows
        if row.phase == "decode" and row.own_local_ratio is not None and row.network_bytes
    ]
    figure, (axes,) = stacked([max(1, len(shown))], legend_in=0.2)
    for place, (row, ratio) in enumerate(shown):
        axes.plot(ratio, place, "s" if row.ours else "o", color=BLUE if row.ours else VERMILION)
    label_rows(axes, [Row(row.label, f"{significant(ratio)} ×") for row, ratio in shown])
    axes.axvline(1.0, color="black", linewidth=0.5)
    log_axis(axes)
    axes.set_title("Decode latency ÷ own local")
    for name, mark, colour in (("modes", "s", BLUE), ("systems", "o", VERMILION)):
        axes.plot([], [], mark, color=colour, label=name)
    figure.legend(loc="outside lower center", ncols=2)
    return figure
