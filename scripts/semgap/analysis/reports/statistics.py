"""stats.md, and what the notes under the table say of ratios."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from semgap.analysis.numbers.comparison import BASELINE_MODE, PROPOSED_MODE, ComparisonRow
from semgap.analysis.numbers.numbers import PHASES, Numbers, TableRow
from semgap.analysis.reports.columns import ABSENT, significant
from semgap.plumbing.markup import escaped_markdown, markdown_table
from semgap.policy import Label


def statistics_markdown(numbers: Numbers) -> str:
    """Latency of each mode, the ratios between modes, and what so few repeats cannot say."""
    rows, comparisons, labels = numbers.table, numbers.comparisons, numbers.labels
    repeats = sorted({row.quantities["latency_s"].n for row in rows})
    sections = [
        f"# Statistics of latency, n = {' or '.join(map(str, repeats))}\n",
        _of_each_mode(rows),
        *(
            _beside(baseline, _in_order(_with(comparisons, baseline), labels), labels)
            for baseline in (BASELINE_MODE, PROPOSED_MODE)
            if _with(comparisons, baseline)
        ),
    ]
    near_floor = decode_rows(rows, numbers.manifest.weights_bytes)
    engine = numbers.records[0].settings.worker.engine
    return "\n".join(sections) + decode_markdown(near_floor, engine)


def _with(comparisons: Sequence[ComparisonRow], baseline: str) -> list[ComparisonRow]:
    return [row for row in comparisons if row.baseline == baseline]


def _in_order(rows: Iterable[ComparisonRow], labels: Mapping[str, Label]) -> list[ComparisonRow]:
    """Rows of a phase and mode in the order of the table."""
    modes = list(labels)
    return sorted(rows, key=lambda row: (PHASES.index(row.phase), modes.index(row.mode)))


def ratio_text(ratio: float, low: float | None, high: float | None) -> str:
    """A ratio and its interval: "1.259× (1.253–1.267)"."""
    interval = "" if low is None or high is None else f" ({significant(low)}–{significant(high)})"
    return f"{significant(ratio)}×{interval}"


def _ratio(row: ComparisonRow) -> str:
    return ratio_text(row.ratio, row.ratio_low, row.ratio_high)


def supported(comparisons: Sequence[ComparisonRow], labels: Mapping[str, Label]) -> Iterator[str]:
    """What the data say of the framework-level mode beside local, a sentence for each phase."""
    for row in comparisons:
        if (row.mode, row.baseline) != (PROPOSED_MODE, BASELINE_MODE):
            continue
        names = escaped_markdown(labels[row.mode].text), escaped_markdown(labels[row.baseline].text)
        detectable = (
            "one repeat shows no scatter, so no difference can be told from chance"
            if row.detectable_ratio is None
            else f"with this n and scatter, a ratio below {row.detectable_ratio:.2f}× is missed in "
            "more than one of five experiments"
        )
        yield (
            f"{names[0]}, {row.phase}: {_ratio(row)} the latency of {names[1]}, geometric mean "
            f"over {row.rounds} rounds and 95 % interval (Student's t of the logarithms); "
            f"{detectable}."
        )


def _of_each_mode(rows: Sequence[TableRow]) -> str:
    cells = []
    for row in rows:
        found = row.quantities["latency_s"]
        cells.append(
            [
                row.phase.capitalize(),
                escaped_markdown(row.label),
                str(found.n),
                significant(found.mean),
                ABSENT if found.std is None else significant(found.std),
                significant(found.median),
                significant(found.mad),
                f"{significant(found.minimum)}–{significant(found.maximum)}",
            ]
        )
    header = ("Phase", "Mode", "n", "Mean (s)", "Std dev", "Median", "MAD", "Range")
    return f"""\
## Each mode

MAD is the median absolute deviation from the median, not scaled.

{markdown_table(header, cells, text_columns=2)}
"""


def _beside(baseline: str, rows: Sequence[ComparisonRow], labels: Mapping[str, Label]) -> str:
    cells = [
        [
            row.phase.capitalize(),
            escaped_markdown(labels[row.mode].text),
            _ratio(row),
            str(row.rounds),
            ABSENT if row.detectable_ratio is None else f"{row.detectable_ratio:.3f}×",
        ]
        for row in rows
    ]
    header = ("Phase", "Mode", "Ratio (95 %)", "Rounds", "Detectable")
    return f"""\
## Beside {escaped_markdown(labels[baseline].text)}

Latency ÷ the other mode's in the same round: geometric mean over the rounds and 95 % interval
(Student's t of the logarithms). *Detectable* is the smallest ratio above 1 that as many rounds with
this scatter show in 4 of 5 experiments.

{markdown_table(header, cells, text_columns=2)}
"""


class DecodeRow(msgspec.Struct, frozen=True):
    """One decode step of one mode on a GPU, means over the repeats."""

    label: str
    step_s: float
    kernel_s: float  # time in kernels
    kernels: float  # their number
    floor_s: float | None  # the weights' bytes ÷ the rate at which the GPU read memory in this run

    @property
    def gap_s(self) -> float:
        """Time in no kernel: launching, copying, the network."""
        return self.step_s - self.kernel_s

    @property
    def share_of_floor(self) -> float | None:
        """The floor ÷ the step: 1 is a step that only reads the weights."""
        return None if self.floor_s is None else self.floor_s / self.step_s


def decode_rows(table: Sequence[TableRow], weights_bytes: int) -> list[DecodeRow]:
    """A row for each mode whose kernels were timed, in the order of the table."""
    rows = []
    for row in table:
        kernel_s, kernels = row.mean("gpu_kernel_busy_s"), row.mean("gpu_kernels")
        step_s, steps = row.mean("latency_per_step_s"), row.mean("steps")
        read_bytes_per_s = row.mean("gpu_memory_read_bytes_per_s")
        if row.phase != "decode" or not (step_s and steps and kernel_s and kernels):
            continue
        rows.append(
            DecodeRow(
                label=row.label,
                step_s=step_s,
                kernel_s=kernel_s / steps,
                kernels=kernels / steps,
                floor_s=None if read_bytes_per_s is None else weights_bytes / read_bytes_per_s,
            )
        )
    return rows


def decode_markdown(rows: Sequence[DecodeRow], engine: str) -> str:
    """The rows as a section of a report; nothing where no GPU computed."""
    if not rows:
        return ""
    cells = [
        [
            escaped_markdown(row.label),
            f"{1e3 * row.step_s:.3f}",
            f"{1 / row.step_s:.1f}",
            _text(row.floor_s, 1e3, ".3f"),
            _text(row.share_of_floor, 100, ".0f"),
            f"{row.kernels:.0f}",
            f"{1e3 * row.kernel_s:.3f}",
            f"{1e3 * row.gap_s:.3f}",
        ]
        for row in rows
    ]
    header = (
        *("Mode", "Step (ms)", "Tokens/s", "Floor (ms)", "Floor ÷ step (%)"),
        *("Kernels", "In kernels (ms)", "In none (ms)"),
    )
    return f"""
## A decode step beside its floor, engine `{engine}`

The floor is the weights' bytes ÷ the rate at which this GPU read its memory in the same runs, by
products of a matrix and a vector. Kernels, copies and fills are counted and timed in a
pass of their own.

{markdown_table(header, cells, text_columns=1)}
"""


def _text(value: float | None, factor: float, form: str) -> str:
    return ABSENT if value is None else format(factor * value, form)
