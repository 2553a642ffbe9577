"""latency.md: what two clocks say of each mode, and what a mode's latency owes to computing."""

from collections.abc import Iterator, Sequence

from semgap.analysis.numbers.budget import BudgetRow
from semgap.analysis.numbers.comparison import BASELINE_MODE
from semgap.analysis.numbers.numbers import PHASES, Numbers, TableRow
from semgap.analysis.numbers.same_work import SameWorkRow
from semgap.analysis.numbers.second_clock import ClockRow
from semgap.analysis.reports.columns import ABSENT, significant
from semgap.analysis.reports.statistics import ratio_text
from semgap.plumbing.markup import escaped_markdown, markdown_table

_FEWEST_STEPS = 5


def latency_markdown(numbers: Numbers) -> str:
    """Both clocks of each mode, its computing beside local's, its spans beside their bytes."""
    return "\n".join([_clocks(numbers), _same_work(numbers), _budgets(numbers)])


def clock_note(rows: Sequence[ClockRow]) -> str:
    """What the second clock says, in one sentence."""
    timed = [row for row in rows if row.phase in PHASES]
    if not timed:
        return "No second clock: these runs have no time stamps of packets."
    worst = max(timed, key=lambda row: row.unnamed_s / row.latency_s)
    return (
        "Second clock: by the capture's time stamps, each step's packets lie within the step; "
        f"beside the client's own work, the two differ by at most "
        f"{1e6 * worst.unnamed_s:.0f} µs in the median, "
        f"{100 * worst.unnamed_s / worst.latency_s:.2g} % of a step ({worst.phase} of "
        f"{worst.mode}; latency.md)."
    )


def clock_warnings(rows: Sequence[ClockRow]) -> Iterator[str]:
    """A sentence for each mode whose clock and capture differ by more than can be explained.

    Beside a busy processor, each of three steps may have waited a little: phases with so few are
    judged by ``check_clocks`` alone, whose bound is wider.
    """
    for row in rows:
        if row.steps >= _FEWEST_STEPS and row.quick_unnamed_s > row.allowed_s:
            yield (
                f"of {row.mode}'s {row.phase} step, {1e3 * row.latency_s:.3f} ms by the client's "
                f"clock, {1e3 * row.quick_unnamed_s:.3f} ms are neither the client's work nor the "
                "network in three of four steps; up to "
                f"{1e3 * row.allowed_s:.3f} ms are expected"
            )


def budget_warnings(rows: Sequence[BudgetRow]) -> Iterator[str]:
    """A sentence for each span that takes more than its bytes explain."""
    for row in rows:
        if row.exceeds:
            yield (
                f"in three of four steps of {row.mode}'s {row.phase}, {row.span} takes at least "
                f"{1e3 * row.quick_s:.3f} ms; for {row.content_bytes / 1e6:,.3f} MB, up to "
                f"{1e3 * row.budget_s:.3f} ms are expected"
            )


def work_notes(numbers: Numbers) -> Iterator[str]:
    """Which modes compute at another speed than local, in one sentence."""
    differing = [
        f"{escaped_markdown(numbers.labels[row.mode].text)}, {row.phase} "
        f"{ratio_text(row.ratio, row.ratio_low, row.ratio_high)}: at local's speed its latency "
        f"would be {significant(row.latency_at_baseline_s)} s instead of "
        f"{significant(row.latency_s)} s"
        for row in numbers.same_work
        if row.differs
    ]
    if differing:
        yield (
            "All modes compute the same, but not in the same time. Time in forward passes ÷ "
            f"local's (95 % interval): {'; '.join(differing)} (latency.md)."
        )


def _clocks(numbers: Numbers) -> str:
    seen = {(row.phase, row.mode): row for row in numbers.clocks}
    cells = [
        [row.phase.capitalize(), escaped_markdown(row.label), *_clock_cells(row, found)]
        for row in numbers.table
        for found in (seen.get((row.phase, row.mode)),)
    ]
    header = (
        *("Phase", "Mode", "Steps", "Client (ms)", "Capture (ms)"),
        *("Unexplained (ms)", "Expected up to (ms)"),
    )
    return f"""\
# Latency by two clocks

A step by the client's clock, and from its request's first packet to its reply's last by the
kernel's time stamps in the capture: medians over all steps of all repeats. *Unexplained* is their
difference, without what the client's spans name: placing and serialising. A step whose packets are
outside of it, or whose spans contradict them, is refused. Expected are 50 µs + 1 % of the step,
three times what the transport takes in the mode where it takes least, and the time in which the
reply was sent.

{markdown_table(header, cells, text_columns=2)}

{_weaker(numbers)}
"""


def _clock_cells(row: TableRow, found: ClockRow | None) -> list[str]:
    if found is None:
        per_step = row.mean("latency_per_step_s") or 0.0
        return [ABSENT, f"{1e3 * per_step:.3f}", *(ABSENT,) * 3]
    sizes = (found.latency_s, found.wire_s, found.unnamed_s, found.allowed_s)
    return [str(found.steps), *(f"{1e3 * size:.3f}" for size in sizes)]


def _weaker(numbers: Numbers) -> str:
    """The second clock of ``local``, which sends no packets."""
    record = numbers.records[0]
    said = []
    for row in numbers.table:
        if row.mode != BASELINE_MODE:
            continue
        latency_s, span_s = row.mean("latency_s"), row.mean("gpu_kernel_span_s")
        cpu_s = (row.mean("client_cpu_busy_s") or 0.0) / record.compute_threads
        other = (
            f"{significant(cpu_s)} s of processor time on each of {record.compute_threads} threads"
            if span_s is None
            else f"{significant(span_s)} s from the first kernel to the last, in a pass of its own"
        )
        said.append(f"{row.phase}, {significant(latency_s or 0.0)} s beside {other}")
    return (
        "`local` sends no packets. Its second clock is weaker, a lower bound that cannot see a "
        f"wait: {'; '.join(said)}."
    )


def _same_work(numbers: Numbers) -> str:
    found = {(row.phase, row.mode): row for row in numbers.same_work}
    cells = [
        [
            row.phase.capitalize(),
            escaped_markdown(row.label),
            significant(row.mean("compute_s") or 0.0),
            *_work_cells(found.get((row.phase, row.mode))),
            significant(row.mean("latency_s") or 0.0),
        ]
        for row in numbers.table
    ]
    header = (
        *("Phase", "Mode", "Computing (s)", "÷ local (95 %)", "Latency at local's (s)"),
        "Latency (s)",
    )
    return f"""\
## The same work in each mode

The forward passes of a phase, timed by the worker. Each mode computes the same with the same number
of threads, so what differs is the machine: other processes, caches, clocks. *Latency at local's* is
what the mode's latency would be if it computed as long as local.

{markdown_table(header, cells, text_columns=2)}
"""


def _budgets(numbers: Numbers) -> str:
    if not numbers.budgets:
        return ""
    cells = [
        [
            row.phase.capitalize(),
            escaped_markdown(numbers.labels[row.mode].text),
            row.span.capitalize(),
            f"{row.content_bytes / 1e6:,.3f}",
            *(f"{1e3 * seconds:.3f}" for seconds in (row.taken_s, row.plain_s, row.budget_s)),
        ]
        for row in numbers.budgets
    ]
    header = ("Phase", "Mode", "Span", "MB", "Taken (ms)", "Plain (ms)", "Budget (ms)")
    return f"""\
## Each span beside its bytes

A step's spans without computing, medians over all steps. *Plain* is what so many bytes take in a
plain copy or through a plain socket of this machine, timed in the same jobs. The budget is three
times that, three times what the span takes in the mode where it takes least, and half a
millisecond; what exceeds it is a warning under the table. Over a link of its own, sending and
receiving have no budget.

{markdown_table(header, cells, text_columns=3)}
"""


def _work_cells(row: SameWorkRow | None) -> list[str]:
    if row is None:
        return [ABSENT, ABSENT]
    return [
        ratio_text(row.ratio, row.ratio_low, row.ratio_high),
        significant(row.latency_at_baseline_s),
    ]
