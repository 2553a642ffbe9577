"""What of decode grows with the prompt: experiments that differ in the prompt's length alone."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from semgap.analysis.figures import SMALL
from semgap.analysis.figures.modes import QUANTITIES
from semgap.analysis.numbers.numbers import Numbers, TableRow
from semgap.analysis.reports.columns import gigabytes_text, latency_text
from semgap.plumbing.markup import escaped_markdown, markdown_table

# Marks and lines for what covers each other, in shades that stay apart in a grey print.
_LINES = (("0.0", "o", "-"), ("0.0", "s", "--"), ("0.4", "^", "-."), ("0.4", "x", ":"))


def contexts_markdown(sweep: Mapping[int, Numbers]) -> str:
    """Decode of each mode, a column for each length of the prompt."""
    lengths = sorted(sweep)
    cells = [
        [
            escaped_markdown(label.text),
            *(_cell(_decode_of(sweep[length], mode)) for length in lengths),
        ]
        for mode, label in sweep[lengths[0]].labels.items()
    ]
    header = ("Decode after a prompt of", *(f"{length} tokens" for length in lengths))
    return f"{markdown_table(header, cells, text_columns=1)}\n"


def contexts(sweep: Mapping[int, Numbers]) -> Figure:
    """Latency and bytes of decode over the prompt's length, a line for each mode that has any."""
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    lengths = sorted(sweep)
    for axes, (quantity, unit, name) in zip(figure.subplots(1, 2), QUANTITIES, strict=True):
        for mode, (shade, mark, line) in zip(sweep[lengths[0]].labels, _LINES, strict=True):
            values = [_decode_of(sweep[length], mode).mean(quantity) or 0.0 for length in lengths]
            if any(values):
                points = [value / unit for value in values]
                axes.plot(lengths, points, color=shade, marker=mark, linestyle=line, label=mode)
        axes.set(xscale="log", yscale="log", xlabel="prompt (tokens)", ylabel=f"decode, {name}")
        axes.set_xticks(lengths, [str(length) for length in lengths])
        axes.minorticks_off()
        axes.grid(visible=True, linewidth=0.3)
    figure.axes[0].legend(fontsize=SMALL)
    return figure


def _decode_of(numbers: Numbers, mode: str) -> TableRow:
    (row,) = (row for row in numbers.table if (row.mode, row.phase) == (mode, "decode"))
    return row


def _cell(row: TableRow) -> str:
    return f"{gigabytes_text(row)} GB, {latency_text(row)} s"
