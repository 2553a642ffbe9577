"""Latency and bytes of each mode beside each other."""

from matplotlib.figure import Figure

from semgap.analysis.figures import SMALL, shown
from semgap.analysis.numbers.numbers import PHASES, Numbers

# Quantity, its unit as the figure shows it, and the axis's name.
QUANTITIES = (("latency_s", 1.0, "latency (s)"), ("network_bytes", 1e9, "network (GB)"))
# Shades that stay apart in a grey print.
_SHADES = ("0.15", "0.4", "0.6", "0.8")


def modes(numbers: Numbers) -> Figure:
    """Draw prefill beside decode, on logarithmic axes."""
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    for axes, (quantity, unit, name) in zip(figure.subplots(1, 2), QUANTITIES, strict=True):
        for place, mode in enumerate(numbers.labels):
            own = [row for row in numbers.table if row.mode == mode]
            values = [(row.mean(quantity) or 0.0) / unit for row in own]
            at = [phase + 0.2 * place for phase in range(len(own))]
            shade = _SHADES[place % len(_SHADES)]
            axes.bar(at, values, 0.18, color=shade, edgecolor="black", label=shown(mode))
        axes.set(yscale="log", ylabel=name)
        axes.set_xticks([phase + 0.3 for phase in range(len(PHASES))], PHASES)
        axes.grid(visible=True, axis="y", linewidth=0.3)
    figure.axes[0].legend(fontsize=SMALL)
    return figure
