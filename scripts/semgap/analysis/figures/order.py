"""When each run was made, and what else kept the machine busy."""

from matplotlib.figure import Figure

from semgap.analysis.figures import BLUE, VERMILION, Row, label_rows, stacked
from semgap.analysis.numbers.numbers import Numbers
from semgap.analysis.reports.warnings import cores_of_others


def order(numbers: Numbers) -> Figure:
    """Draw each run from its begin to its end, a row per mode, and the load of others below."""
    modes = list(numbers.labels)
    figure, (runs, load) = stacked([len(modes), 2])
    begin_s = min(record.started_unix_ns for record in numbers.records) / 1e9
    for record in numbers.records:
        start_min = (record.started_unix_ns / 1e9 - begin_s) / 60
        took_min = (record.end_s - record.begin_s) / 60
        runs.barh(modes.index(record.mode), took_min, left=start_min, height=0.3, color=BLUE)
        middle_min = start_min + took_min / 2
        load.plot(middle_min, cores_of_others(record), "o", color=VERMILION)
    label_rows(runs, [Row(label.text, "") for label in numbers.labels.values()])
    runs.set_title("Runs (minutes since the first)")
    load.set(title="Cores that other processes used", xlim=runs.get_xlim())
    load.set_ylim(bottom=0)
    load.tick_params(axis="y", left=True, labelleft=True)
    load.grid(visible=True, linewidth=0.3)
    return figure
