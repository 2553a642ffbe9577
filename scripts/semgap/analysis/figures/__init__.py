"""What figures share: one width and palette, rows with their text above, the same bytes each time.

All are as wide as a column of a paper and are read at that size; a page may show them larger.
"""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_IN = 3.5
# Apart for the colour-blind and in a grey print (Okabe and Ito, "Color universal design", 2008).
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = matplotlib.color_sequences["okabe_ito"]
_ROW_IN = 0.3
_PANEL_IN = 0.62
_STYLE: dict[Any, Any] = {
    "font.size": 7.5,
    "axes.titlesize": 8.0,
    "axes.titleweight": "bold",
    "lines.markersize": 3.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "ytick.left": False,
    "ytick.labelleft": False,
    "legend.frameon": False,
    "xtick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    # Text stays text: it can be searched, and is drawn in the reader's font.
    "svg.fonttype": "none",
    "svg.hashsalt": "semgap",
    "pdf.fonttype": 42,
}
matplotlib.rcParams.update(_STYLE)


class Row(NamedTuple):
    """A line of a panel: what it is, and what its number is in words."""

    name: str
    said: str


def stacked(panels: Sequence[int], legend_in: float = 0.0) -> tuple[Figure, Sequence["Axes"]]:
    """A figure of panels below each other, each with so many rows."""
    heights = [_PANEL_IN + _ROW_IN * rows for rows in panels]
    figure = Figure(figsize=(WIDTH_IN, sum(heights) + legend_in), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    return figure, list(axes)


def label_rows(axes: "Axes", rows: Iterable[Row]) -> None:
    """Write each row's text above its line: the first row at height 0, the next at 1, and so on."""
    count = 0
    for place, row in enumerate(rows):
        for where, text, side in ((0.0, row.name, "left"), (1.0, row.said, "right")):
            axes.text(
                *(where, place - 0.28, plain(text)),
                transform=axes.get_yaxis_transform(),
                ha=side,
                va="bottom",
            )
        count += 1
    axes.set_ylim(count - 0.6, -1.0)
    axes.grid(visible=True, axis="x", linewidth=0.3)
    axes.set_axisbelow(True)


def log_axis(axes: "Axes") -> None:
    """Make a panel's axis logarithmic, with its numbers written out."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    decades = math.log10(high / low)
    axes.xaxis.set_major_locator(LogLocator(subs=(1,) if decades > 2 else (1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def plain(text: str) -> str:
    """A text that a figure shows as it is: between two dollars matplotlib would set mathematics."""
    return text.replace("$", r"\$")


def save(figure: Figure, file: Path) -> None:
    """Write a figure in the form that the file's suffix names, the same bytes each time."""
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=200, metadata=undated.get(file.suffix))
    if file.suffix == ".svg":
        _number_clips(file)


def _number_clips(file: Path) -> None:
    """Matplotlib names clip paths by digits of their corners that differ between processors."""
    text = file.read_text(encoding="utf-8")
    for number, name in enumerate(re.findall(r'<clipPath id="(\w+)">', text), start=1):
        text = text.replace(name, f"clip{number}")
    file.write_text(text, encoding="utf-8")
