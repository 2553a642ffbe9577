"""time-line.svg: where the time of one decode step of each mode goes."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from semgap.analysis.figures import SMALL, shown
from semgap.analysis.numbers.numbers import Numbers
from semgap.inference.steps import StepRecord
from semgap.measurement.run_record import RunRecord

# How each looks: shades and hatches that stay apart in a grey print.
_LOOKS = {
    "placement on the client": ("0.95", "xx"),
    "serialising": ("0.85", ".."),
    "sending up": ("0.55", ""),
    "copying to the worker's device": ("0.35", "//"),
    "waiting for the worker": ("0.95", ""),
    "the worker beside the pass": ("0.75", "//"),
    "the forward pass": ("0.15", ""),
    "copying back": ("0.35", "\\\\"),
    "receiving": ("0.55", "\\\\"),
}


def spans_ms(step: StepRecord) -> dict[str, float]:
    """The step's spans in milliseconds, in the order of the figure; their sum is its latency."""
    spans_s = {
        "placement on the client": step.placement_s,
        "serialising": step.serialise_s,
        "sending up": step.send_s,
        "copying to the worker's device": step.host_to_device_s,
        "waiting for the worker": step.queue_s,
        "the worker beside the pass": step.worker_s - step.compute_s,
        "the forward pass": step.compute_s,
        "copying back": step.device_to_host_s,
        "receiving": step.receive_s,
    }
    return {name: 1e3 * span for name, span in spans_s.items()}


def median_step(records: Sequence[RunRecord]) -> StepRecord:
    """The decode step with the median latency, the lower one of two, of all repeats of a mode."""
    steps = sorted(
        (
            step
            for record in records
            for phase in record.phases
            if phase.name == "decode"
            for step in phase.steps
        ),
        key=lambda step: step.latency_s,
    )
    return steps[(len(steps) - 1) // 2]


def time_line(numbers: Numbers) -> Figure:
    """Draw a bar for each mode, each on an axis of its own: they differ by orders of magnitude."""
    labels = numbers.labels
    figure = Figure(figsize=(8.0, 0.8 * len(labels) + 1.2), layout="constrained")
    panels = figure.subplots(len(labels), 1, squeeze=False)[:, 0]
    for axes, (mode, label) in zip(panels, labels.items(), strict=True):
        begin_ms = 0.0
        step = median_step([record for record in numbers.records if record.mode == mode])
        for name, span_ms in spans_ms(step).items():
            shade, hatch = _LOOKS[name]
            axes.barh(
                0,
                span_ms,
                left=begin_ms,
                color=shade,
                hatch=hatch,
                edgecolor="black",
                linewidth=0.4,
                label=name,
            )
            begin_ms += span_ms
        axes.set(yticks=[], xlim=(0, begin_ms), title=f"{shown(label.text)}: {begin_ms:,.1f} ms")
        axes.title.set_fontsize(9)
        axes.tick_params(labelsize=SMALL)
    panels[-1].set_xlabel("one decode step (ms)")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=SMALL)
    return figure
