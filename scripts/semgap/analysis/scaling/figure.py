"""Latency of a decode step over each quantity that a sweep varies: measured, and by its law."""

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from semgap.analysis.figures import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILION, WIDTH_IN
from semgap.analysis.scaling.findings import Findings
from semgap.analysis.scaling.points import Link, Point
from semgap.server.network_namespace import burst_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS = ((BLACK, "o"), (VERMILION, "s"), (BLUE, "^"), (ORANGE, "D"), (GREEN, "v"), (PURPLE, "P"))
_LINES = ("-", "--", ":", "-.")


class _Axis(NamedTuple):
    title: str
    value: Callable[[Point], float]  # 0 where a logarithmic axis has no place for it
    others: Callable[[Point], tuple[float, ...]]  # points with the same ones are on one line
    moved: Callable[[Point, float], tuple[int, Link]]  # the same point at another value


_AXES = (
    _Axis(
        "rate (Gbit/s)",
        lambda point: point.link.rate_gbit or 0.0,
        lambda point: (point.link.round_trip_ms, point.prompt_tokens),
        lambda point, value: (
            point.prompt_tokens,
            Link(value, point.link.round_trip_ms, burst_bytes(value)),
        ),
    ),
    _Axis(
        "delay (ms)",
        lambda point: point.link.round_trip_ms,
        lambda point: (point.link.rate_gbit or 0.0, point.prompt_tokens),
        lambda point, value: (point.prompt_tokens, point.link._replace(round_trip_ms=value)),
    ),
    _Axis(
        "prompt (tokens)",
        lambda point: point.prompt_tokens,
        lambda point: (point.link.rate_gbit or 0.0, point.link.round_trip_ms),
        lambda point, value: (round(value), point.link),
    ),
)


def scaling(found: Findings) -> Figure:
    """A panel for each quantity that has several values, marks for measured, lines for the law."""
    decode = [point for point in found.points if point.phase == "decode"]
    axes_of = [one for one in _AXES if len({one.value(point) for point in decode} - {0.0}) > 1]
    figure = Figure(figsize=(WIDTH_IN, 0.6 + 2.2 * len(axes_of)), layout="constrained")
    panels = figure.subplots(max(len(axes_of), 1), 1, squeeze=False)[:, 0]
    for axis, panel in zip(axes_of, panels, strict=False):
        groups = sorted({axis.others(point) for point in decode if axis.value(point)})
        for (mode, label), (colour, mark) in zip(found.labels.items(), cycle(_LOOKS)):
            for group, line in zip(groups, cycle(_LINES)):
                points = [
                    point
                    for point in decode
                    if (point.mode, axis.others(point)) == (mode, group) and axis.value(point)
                ]
                if not points:
                    continue
                look = {"color": colour, "fillstyle": "full" if line == "-" else "none"}
                values = [axis.value(point) for point in points]
                measured_ms = [1e3 * point.latency_s for point in points]
                named = label.text if group == groups[0] else None
                panel.plot(values, measured_ms, mark, label=named, **look)
                _draw_law(panel, found, axis, points, color=colour, linestyle=line)
        panel.set(xscale="log", yscale="log", xlabel=axis.title, title="Decode: a step (ms)")
        panel.tick_params(axis="y", left=True, labelleft=True)
        for scale in (panel.xaxis, panel.yaxis):
            scale.set_major_formatter("{x:g}")
        ticks = sorted({axis.value(point) for point in decode} - {0.0})
        panel.set_xticks(ticks, [f"{value:g}" for value in ticks])
        panel.minorticks_off()
        panel.grid(visible=True, linewidth=0.3)
    if axes_of:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _draw_law(
    panel: "Axes", found: Findings, axis: _Axis, points: Sequence[Point], **look: Any
) -> None:
    values = sorted(axis.value(point) for point in points)
    along = np.geomspace(values[0], values[-1], 40)
    by_law = []
    for value in along:
        tokens, link = axis.moved(points[0], float(value))
        by_law.append(1e3 * found.step_s(points[0].place, found.shape, tokens, link))
    panel.plot(along, by_law, linewidth=0.8, **look)
