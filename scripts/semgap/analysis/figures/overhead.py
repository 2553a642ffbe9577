"""What the framework-level mode adds to Local, span by span."""

from statistics import median

from matplotlib.figure import Figure

from semgap.analysis.figures import BLACK, Row, label_rows, plain, stacked
from semgap.analysis.figures.time_line import COLOURS, GROUPS, spans_ms
from semgap.analysis.numbers.comparison import BASELINE_MODE, PROPOSED_MODE
from semgap.analysis.numbers.numbers import Numbers

_NAMES = {
    "placement_s": "Placement on the client",
    "serialise_s": "Serialising",
    "send_s": "Sending up",
    "host_to_device_s": "Copying to the device",
    "queue_s": "Waiting for the worker",
    "other_worker_s": "The worker beside the pass",
    "compute_s": "The forward pass",
    "device_to_host_s": "Copying back",
    "receive_s": "Receiving",
}


def overhead(numbers: Numbers) -> Figure:
    """Draw the difference of the medians over all decode steps, in microseconds."""
    labels = numbers.labels
    mode = PROPOSED_MODE if PROPOSED_MODE in labels else list(labels)[-1]
    own, baseline = (_medians_us(numbers, one) for one in (mode, BASELINE_MODE))
    names = {**_NAMES, "step": "The whole step"}
    added_us = {span: own[span] - baseline[span] for span in names}
    figure, (axes,) = stacked([len(names)])
    colours = [*(COLOURS[GROUPS[span]] for span in _NAMES), BLACK]
    axes.barh(range(len(names)), list(added_us.values()), height=0.3, color=colours)
    axes.axvline(0, color=BLACK, linewidth=0.6)
    label_rows(
        axes,
        [Row(name, f"{added_us[span]:+,.0f} µs".replace("-", "−")) for span, name in names.items()],
    )
    axes.set_title(plain(f"Median step: {labels[mode].text} − Local (µs)"))
    return figure


def _medians_us(numbers: Numbers, mode: str) -> dict[str, float]:
    steps = [
        step
        for record in numbers.records
        if record.mode == mode
        for phase in record.phases
        if phase.name == "decode"
        for step in phase.steps
    ]
    medians = {name: 1e3 * median(spans_ms(step)[name] for step in steps) for name in GROUPS}
    return {**medians, "step": 1e6 * median(step.latency_s for step in steps)}
