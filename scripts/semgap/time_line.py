"""One step of each mode as a time line of its spans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median_low

from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure

from semgap.phases import MEASURED_PHASES
from semgap.records import RunRecord, StepRecord
from semgap.spans import spans_of


def typical_step(records: Sequence[RunRecord], phase: str) -> StepRecord:
    """The step of median latency among all steps of a phase of all repeats."""
    steps = [
        step
        for record in records
        for each in record.phases
        if each.name == phase
        for step in each.steps
    ]
    middle_s = median_low(step.latency_s for step in steps)
    return next(step for step in steps if step.latency_s == middle_s)


def plot_time_lines(
    records: Sequence[RunRecord], labels: Mapping[str, str], files: Sequence[Path]
) -> None:
    """Draw the typical step of each mode into files, in the form that their suffix names."""
    figure = time_lines(records, labels)
    # The same runs give the same bytes.
    with rc_context({"svg.hashsalt": "semgap"}):
        for file in files:
            no_date = {"Date": None} if file.suffix == ".svg" else None
            figure.savefig(file, dpi=150, metadata=no_date)


def time_lines(records: Sequence[RunRecord], labels: Mapping[str, str]) -> Figure:
    """The typical step of each mode, a panel for each phase.

    Args:
        labels: names of the modes, in the order from top to bottom.
    """
    figure = Figure(figsize=(7.0, 1.2 + 0.45 * len(labels) * len(MEASURED_PHASES)))
    figure.set_layout_engine("constrained")
    panels = figure.subplots(len(MEASURED_PHASES), squeeze=False)[:, 0]
    for axes, phase in zip(panels, MEASURED_PHASES, strict=True):
        for row, mode in enumerate(labels):
            step = typical_step([record for record in records if record.mode == mode], phase)
            begin_s = 0.0
            for index, (span, duration_s) in enumerate(spans_of(step).items()):
                axes.barh(
                    row,
                    duration_s * 1e3,
                    left=begin_s * 1e3,
                    color=colormaps["tab10"](index),
                    label=span if row == 0 else None,
                )
                begin_s += duration_s
        axes.set_yticks(range(len(labels)), [label.replace("\\", "") for label in labels.values()])
        axes.invert_yaxis()
        axes.set_title(f"{phase.capitalize()}: the step of median latency", fontsize=9)
        axes.set_xlabel("time since the client began (ms)", fontsize=8)
        axes.tick_params(labelsize=8)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize=8)
    return figure
