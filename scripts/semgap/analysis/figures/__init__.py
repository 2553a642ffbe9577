"""What figures share: shades that stay apart in a grey print, the same bytes each time."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

# Fill and hatch by place in a legend.
FILLS = (("0.15", ""), ("0.55", ""), ("0.85", ""), ("0.95", "//"), ("0.75", ".."), ("1.0", "xx"))
MARKS = "os^DvP"
SMALL = 8  # points


def shown(text: str) -> str:
    """A text that a figure shows as it is: between two dollars matplotlib would set mathematics."""
    return text.replace("$", r"\$")


def save(figure: Figure, file: Path) -> None:
    """Write a figure in the form that the file's suffix names, the same bytes each time."""
    matplotlib.rcParams["svg.hashsalt"] = "semgap"
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150, metadata=undated.get(file.suffix))
