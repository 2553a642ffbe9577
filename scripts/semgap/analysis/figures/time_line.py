"""Where the time of one decode step of each mode goes."""

from collections.abc import Sequence
from itertools import accumulate, groupby

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from semgap.analysis.figures import (
    BLACK,
    BLUE,
    ORANGE,
    VERMILION,
    Row,
    label_rows,
    log_axis,
    stacked,
)
from semgap.analysis.numbers.numbers import Numbers
from semgap.inference.steps import StepRecord
from semgap.measurement.run_record import RunRecord

COLOURS = {"client": ORANGE, "network": VERMILION, "copies": BLUE, "model": BLACK}
# What a span is part of, in the order of time.
GROUPS = {
    "placement_s": "client",
    "serialise_s": "client",
    "send_s": "network",
    "host_to_device_s": "copies",
    "queue_s": "model",
    "other_worker_s": "model",
    "compute_s": "model",
    "device_to_host_s": "copies",
    "receive_s": "network",
}
_BEGIN_MS = 0.01


def spans_ms(step: StepRecord) -> dict[str, float]:
    """The step's spans in milliseconds, in the order of time; their sum is its latency."""
    other_worker_s = step.worker_s - step.compute_s
    return {
        name: 1e3 * (other_worker_s if name == "other_worker_s" else getattr(step, name))
        for name in GROUPS
    }


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
    """Draw the median step of each mode from left to right, all on one logarithmic axis."""
    figure, (axes,) = stacked([len(numbers.labels) * 2], legend_in=0.2)
    rows = []
    for place, (mode, label) in enumerate(numbers.labels.items()):
        step = median_step([record for record in numbers.records if record.mode == mode])
        spans = spans_ms(step)
        ends = list(accumulate(spans.values()))
        for begin, end, name in zip((0.0, *ends), ends, spans, strict=False):
            left = max(begin, _BEGIN_MS)
            axes.barh(
                2 * place, max(0.0, end - left), left=left, height=0.4, color=COLOURS[GROUPS[name]]
            )
        sums = {
            group: sum(spans[name] for name in names)
            for group, names in groupby(sorted(GROUPS, key=GROUPS.__getitem__), GROUPS.__getitem__)
        }
        rows.append(Row(label.text, f"{ends[-1]:,.1f} ms"))
        said = " · ".join(f"{group} {sums[group]:,.2f}" for group in COLOURS)
        rows.append(Row("", said))
    label_rows(axes, rows)
    axes.set_title("One decode step (ms)")
    axes.set_xlim(left=_BEGIN_MS)
    log_axis(axes)
    handles = [Patch(color=colour, label=group) for group, colour in COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure
