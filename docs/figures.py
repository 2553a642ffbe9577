"""Figures of recorded results, readable in grey."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from semgap.analysis.figures.style import SMALL, save
from semgap.analysis.rows import PHASES, TableRow

# Quantity, its unit as the figure shows it, and the axis's name.
_QUANTITIES = (("latency_s", 1.0, "latency (s)"), ("network_bytes", 1e9, "network (GB)"))
# Shades that stay apart in a grey print, and marks for lines that cover each other.
_SHADES = ("0.15", "0.4", "0.6", "0.8")
_LINES = (("0.0", "o", "-"), ("0.0", "s", "--"), ("0.4", "^", "-."), ("0.4", "x", ":"))


def draw_modes(rows: Sequence[TableRow], file: Path) -> None:
    """Latency and bytes of each mode, prefill beside decode, on logarithmic axes."""
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    for axes, (quantity, unit, name) in zip(figure.subplots(1, 2), _QUANTITIES, strict=True):
        for place, mode in enumerate(_modes(rows)):
            own = [row for row in rows if row.mode == mode]
            values = [(row.mean(quantity) or 0.0) / unit for row in own]
            at = [phase + 0.2 * place for phase in range(len(own))]
            axes.bar(at, values, 0.18, color=_SHADES[place], edgecolor="black", label=mode)
        axes.set(yscale="log", ylabel=name)
        axes.set_xticks([phase + 0.3 for phase in range(len(PHASES))], PHASES)
        axes.grid(visible=True, axis="y", linewidth=0.3)
    figure.axes[0].legend(fontsize=SMALL)
    save(figure, [file])


def draw_contexts(tables: Mapping[int, Sequence[TableRow]], file: Path) -> None:
    """Latency and bytes of decode over the prompt's length, a line for each mode that has any."""
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    lengths = sorted(tables)
    for axes, (quantity, unit, name) in zip(figure.subplots(1, 2), _QUANTITIES, strict=True):
        for mode, (shade, mark, line) in zip(_modes(tables[lengths[0]]), _LINES, strict=True):
            values = [decode_of(tables[length], mode).mean(quantity) or 0.0 for length in lengths]
            if any(values):
                points = [value / unit for value in values]
                axes.plot(lengths, points, color=shade, marker=mark, linestyle=line, label=mode)
        axes.set(xscale="log", yscale="log", xlabel="prompt (tokens)", ylabel=f"decode, {name}")
        axes.set_xticks(lengths, [str(length) for length in lengths])
        axes.minorticks_off()
        axes.grid(visible=True, linewidth=0.3)
    figure.axes[0].legend(fontsize=SMALL)
    save(figure, [file])


def decode_of(rows: Sequence[TableRow], mode: str) -> TableRow:
    """A mode's decode row."""
    (row,) = (row for row in rows if (row.mode, row.phase) == (mode, "decode"))
    return row


def _modes(rows: Sequence[TableRow]) -> list[str]:
    return list(dict.fromkeys(row.mode for row in rows))
