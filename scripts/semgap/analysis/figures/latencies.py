"""Latency of each mode: every repeat as a point, the mean with the range."""

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from semgap.analysis.figures import MARKS, SMALL, shown
from semgap.analysis.numbers.numbers import PHASES, Numbers


def latencies(numbers: Numbers) -> Figure:
    """Draw prefill beside decode on logarithmic axes."""
    labels = numbers.labels
    means = {(row.phase, row.mode): row for row in numbers.summary if row.quantity == "latency_s"}
    figure = Figure(figsize=(8.0, 0.5 * len(labels) + 1.3), layout="constrained")
    for axes, phase in zip(figure.subplots(1, len(PHASES), sharey=True), PHASES, strict=True):
        for place, mode in enumerate(labels):
            values_s = [
                row.value
                for row in numbers.repeats
                if (row.phase, row.mode, row.quantity) == (phase, mode, "latency_s")
            ]
            mark = MARKS[place % len(MARKS)]
            axes.plot(values_s, [place] * len(values_s), mark, color="0.55", markersize=4)
            row = means[phase, mode]
            axes.plot([row.minimum, row.maximum], [place, place], "-", color="0.0", linewidth=1)
            axes.plot(row.mean, place, "|", color="0.0", markersize=14)
        axes.set(xscale="log", title=phase.capitalize(), xlabel="latency (s)")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(visible=True, axis="x", linewidth=0.3)
        axes.tick_params(labelsize=SMALL)
    figure.axes[0].set_yticks(range(len(labels)), [shown(label.text) for label in labels.values()])
    figure.axes[0].set_ylim(len(labels) - 0.5, -0.5)
    return figure
