"""Latency and bytes of each mode, every repeat of them."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from semgap.analysis.figures import BLACK, BLUE, VERMILION, Row, label_rows, log_axis, stacked
from semgap.analysis.numbers.comparison import BASELINE_MODE
from semgap.analysis.numbers.numbers import Numbers, TableRow
from semgap.analysis.reports.columns import gigabytes_text, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def decode(numbers: Numbers) -> Figure:
    """All decode steps together: latency and its ratio to Local, then bytes."""
    return _phase(numbers, "decode")


def prefill(numbers: Numbers) -> Figure:
    """The prefill: latency and its ratio to Local, then bytes."""
    return _phase(numbers, "prefill")


def _phase(numbers: Numbers, phase: str) -> Figure:
    figure, panels = stacked([len(numbers.labels)] * 2)
    for axes, draw in zip(panels, (_latency, _network), strict=True):
        draw(axes, phase, numbers)
    return figure


def _latency(axes: "Axes", phase: str, numbers: Numbers) -> None:
    ratios = {
        row.mode: row
        for row in numbers.comparisons
        if (row.phase, row.baseline) == (phase, BASELINE_MODE)
    }
    rows = []
    for place, row in enumerate(_of_phase(numbers, phase)):
        latency = row.quantities["latency_s"]
        axes.plot(
            values := _repeats(numbers, row, "latency_s"),
            [place] * len(values),
            "o",
            color=BLUE,
            alpha=0.5,
            markeredgewidth=0,
        )
        axes.errorbar(latency.mean, place, xerr=latency.std, color=BLACK, marker="|", markersize=9)
        ratio = ratios.get(row.mode)
        beside = f", {f'{ratio.ratio:#.3g}'.rstrip('.')} × Local" if ratio else ""
        rows.append(Row(row.label, f"{significant(latency.mean)} s{beside}"))
    label_rows(axes, rows)
    axes.set_title(f"{phase.capitalize()}: latency (s)")
    log_axis(axes)


def _network(axes: "Axes", phase: str, numbers: Numbers) -> None:
    rows, sizes = [], []
    for place, row in enumerate(_of_phase(numbers, phase)):
        gigabytes = [size / 1e9 for size in _repeats(numbers, row, "network_bytes") if size]
        axes.plot(gigabytes, [place] * len(gigabytes), "s", color=VERMILION)
        sizes += gigabytes
        rows.append(Row(row.label, f"{gigabytes_text(row)} GB"))
    axes.set_title(f"{phase.capitalize()}: network (GB)")
    if sizes:
        axes.set_xlim(min(sizes) / 3, max(sizes) * 2)
    log_axis(axes)
    for place, row in enumerate(_of_phase(numbers, phase)):
        if not row.mean("network_bytes"):
            # A logarithmic axis has no zero: it stands at its end.
            axes.plot(
                0,
                place,
                "s",
                color=VERMILION,
                fillstyle="none",
                clip_on=False,
                transform=axes.get_yaxis_transform(),
            )
    label_rows(axes, rows)


def _of_phase(numbers: Numbers, phase: str) -> list[TableRow]:
    return [row for row in numbers.table if row.phase == phase]


def _repeats(numbers: Numbers, row: TableRow, quantity: str) -> list[float]:
    place = (row.phase, row.mode, quantity)
    return [one.value for one in numbers.repeats if (one.phase, one.mode, one.quantity) == place]
