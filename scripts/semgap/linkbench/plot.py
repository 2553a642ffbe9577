"""Goodput by message size as a figure."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from semgap.linkbench.rates import GoodputRow

# Told apart by shape too, for readers without colours.
_MARKERS = "osD^vPX"


def plot_goodput(rows: Sequence[GoodputRow], files: Sequence[Path]) -> None:
    """Draw each contender's goodput over the message size, into files by their suffix."""
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    for index, name in enumerate(dict.fromkeys(row.contender for row in rows)):
        own = [
            (row.payload_bytes, row.median_bytes_per_s / 1e9)
            for row in rows
            if row.contender == name
        ]
        axes.plot(
            *zip(*own, strict=True),
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=4,
            linewidth=1.2,
            label=name,
        )
    axes.set(xscale="log", yscale="log", xlabel="message (bytes)", ylabel="goodput (GB/s)")
    axes.grid(visible=True, which="major", linewidth=0.3)
    axes.legend(fontsize=8)
    for file in files:
        figure.savefig(file, dpi=150, metadata={"Date": None} if file.suffix == ".svg" else None)
