"""What crosses in each mode, by semantic class."""

from collections.abc import Sequence
from statistics import fmean

from matplotlib.figure import Figure

from semgap.analysis.figures import FILLS, SMALL, shown
from semgap.analysis.numbers.counts import CountRow
from semgap.analysis.numbers.numbers import PHASES, Numbers

_CLASSES = ("weights", "kv_cache", "tokens", "logits", "framing")
_NAMES = ("weights", "KV cache", "tokens", "logits", "framing")


def traffic_classes(numbers: Numbers) -> Figure:
    """Draw a bar per class, both directions together, on logarithmic axes."""
    labels = numbers.labels
    figure = Figure(figsize=(8.0, 0.9 * len(labels) + 1.2), layout="constrained")
    for axes, phase in zip(figure.subplots(1, len(PHASES), sharey=True), PHASES, strict=True):
        for place, (one, name) in enumerate(zip(_CLASSES, _NAMES, strict=True)):
            sizes = [_mean_bytes(numbers.counts, phase, mode, one) for mode in labels]
            at = [mode + 0.16 * (place - 2) for mode in range(len(labels))]
            shade, hatch = FILLS[place]
            axes.barh(
                at,
                sizes,
                0.15,
                color=shade,
                hatch=hatch,
                edgecolor="black",
                linewidth=0.4,
                label=name,
            )
        axes.set(xscale="log", title=phase.capitalize(), xlabel="bytes that must cross")
        axes.set_xlim(left=1)
        axes.grid(visible=True, axis="x", linewidth=0.3)
        axes.tick_params(labelsize=SMALL)
    figure.axes[0].set_yticks(range(len(labels)), [shown(label.text) for label in labels.values()])
    figure.axes[0].invert_yaxis()
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), fontsize=SMALL)
    return figure


def _mean_bytes(counts: Sequence[CountRow], phase: str, mode: str, tensor_class: str) -> float:
    """Both directions, mean of the repeats."""
    by_repeat: dict[int, int] = {}
    for row in counts:
        if (row.phase, row.mode) == (phase, mode):
            size: int = getattr(row, f"{tensor_class}_bytes")
            by_repeat[row.repeat] = by_repeat.get(row.repeat, 0) + size
    return fmean(by_repeat.values())
