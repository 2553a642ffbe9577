"""What crosses in one decode step of each mode, by semantic class."""

from statistics import fmean

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from semgap.analysis.figures import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    Row,
    label_rows,
    log_axis,
    stacked,
)
from semgap.analysis.numbers.numbers import Numbers

_CLASSES = {
    "weights": ("weights", BLUE),
    "kv_cache": ("KV cache", ORANGE),
    "logits": ("logits", GREEN),
    "tokens": ("token", PURPLE),
    "framing": ("framing", SKY),
}


def traffic(numbers: Numbers) -> Figure:
    """Draw a mark per class, both directions together, mean per step, on one logarithmic axis."""
    figure, (axes,) = stacked([len(numbers.labels)], legend_in=0.35)
    rows = []
    for place, (mode, label) in enumerate(numbers.labels.items()):
        sizes = {name: _bytes_per_step(numbers, mode, name) for name in _CLASSES}
        crossing = {name: size for name, size in sizes.items() if size}
        for name, size in crossing.items():
            axes.plot(size, place, "o", color=_CLASSES[name][1])
        rows.append(Row(label.text, f"{sum(crossing.values()):,.0f} bytes"))
    label_rows(axes, rows)
    axes.set_title("Bytes of one decode step")
    axes.set_xlim(1, 3 * max(axes.get_xlim()[1], 10))
    log_axis(axes)
    axes.xaxis.set_major_formatter(EngFormatter("B", sep=" "))
    for name, colour in _CLASSES.values():
        axes.plot([], [], "o", color=colour, label=name)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _bytes_per_step(numbers: Numbers, mode: str, tensor_class: str) -> float:
    by_repeat: dict[int, float] = {}
    for row in numbers.counts:
        if (row.phase, row.mode) == ("decode", mode):
            size: int = getattr(row, f"{tensor_class}_bytes")
            by_repeat[row.repeat] = by_repeat.get(row.repeat, 0) + size
    return fmean(by_repeat.values()) / numbers.records[0].settings.workload.decode_steps
