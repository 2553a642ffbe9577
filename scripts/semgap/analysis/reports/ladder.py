"""ladder.md: what each mode pays in a decode step, and what it must know for it."""

from collections.abc import Sequence

from semgap.analysis.numbers.comparison import BASELINE_MODE
from semgap.analysis.numbers.ladder import Rung, ladder
from semgap.analysis.numbers.numbers import Numbers
from semgap.analysis.reports.columns import ABSENT, significant
from semgap.plumbing.markup import escaped_markdown, markdown_table


def ladder_markdown(numbers: Numbers) -> str:
    """A row for each mode, in the order of the table."""
    rungs = ladder(numbers)
    header = (
        *("Mode", "Must know", "Messages", "Round trips", "Up (bytes)", "Down (bytes)"),
        *("Step (ms)", "Client CPU (ms)", "Worker CPU (ms)", "Client holds (MB)"),
        *("Worker holds (MB)", "Closed, bytes", "Closed, seconds", "Step ÷ framework"),
    )
    cells = [
        [
            *(escaped_markdown(rung.label), rung.knows),
            *(f"{2 * rung.requests:g}", f"{rung.round_trips:g}"),
            *(f"{rung.up_bytes:,.0f}", f"{rung.down_bytes:,.0f}"),
            *map(_milliseconds, (rung.latency_s, rung.client_cpu_s, rung.worker_cpu_s)),
            *(significant(side / 1e6) for side in rung.held),
            *map(percent, (rung.closed_bytes_ratio, rung.closed_s_ratio)),
            times(rung.of_semantic_ratio),
        ]
        for rung in rungs
    ]
    return f"""\
# What each mode pays, and what it must know

One decode step, means over all steps of all repeats. *Closed* is the share of what Naive takes more
than the framework-level mode that a mode does not take; *Step ÷ framework* is what is left of it.

{markdown_table(header, cells, text_columns=2)}

A system must know *calls* to run anything elsewhere; *buffers*, to look at what a call brings;
*which persist*, to leave the weights there; *which is the KV cache*, to leave that there, to send
what is new of it, or to send it with loss. Bytes are TCP payload. Each side *holds* what it has of
weights and KV cache after the last step, and what an encoding keeps of what crossed; the index of
its chunks is not counted.
{_calls(rungs)}{_encodings(numbers)}"""


def percent(ratio: float | None) -> str:
    """A share; a dash if it is not known."""
    return ABSENT if ratio is None else f"{100 * ratio:.1f} %"


def times(ratio: float | None) -> str:
    """How many times as much; a dash if it is not known."""
    return ABSENT if ratio is None else f"{significant(ratio)} ×"


def _milliseconds(seconds: float) -> str:
    return significant(1e3 * seconds)


def _calls(rungs: Sequence[Rung]) -> str:
    """Where a step is many requests: what each adds, and what a client cannot do without."""
    local_s = next((rung.latency_s for rung in rungs if rung.mode == BASELINE_MODE), None)
    cells = [
        [
            escaped_markdown(rung.label),
            f"{rung.requests:g}",
            significant(1e6 * (rung.latency_s - local_s) / rung.requests),
            significant(1e6 * rung.client_cpu_s / rung.requests),
        ]
        for rung in rungs
        if rung.requests > 1 and local_s is not None
    ]
    if not cells:
        return ""
    header = ("Mode", "Requests", "(Step - Local) ÷ request (µs)", "Client CPU ÷ request (µs)")
    return f"""
## Requests

What each request of a decode step adds to Local's step. One that is not waited for cannot add less
than the client's processor takes to decide upon it and to send it: that is the floor.

{markdown_table(header, cells, text_columns=1)}
"""


def _encodings(numbers: Numbers) -> str:
    """Where modes encode: the time of the client's end, and what the lists alone take."""
    cells = []
    for mode, label in numbers.labels.items():
        steps = [
            (step, step.encoded)
            for record in numbers.records
            if record.mode == mode
            for step in record.phases[-1].steps
            if step.encoded
        ]
        if steps:
            total = float(len(steps))
            content = sum(step.total_up_bytes + step.total_down_bytes for step, _ in steps)
            crossed = sum(one.up_bytes + one.down_bytes for _, one in steps)
            lists = sum(one.up_list_bytes + one.down_list_bytes for _, one in steps)
            cells.append(
                [
                    escaped_markdown(label.text),
                    *(f"{size / total:,.0f}" for size in (content, crossed, lists)),
                    f"{content / crossed:.2f}",
                    *(
                        _milliseconds(sum(times) / total)
                        for times in zip(
                            *((one.encode_s, one.decode_s) for _, one in steps), strict=True
                        )
                    ),
                ]
            )
    if not cells:
        return ""
    header = (
        "Mode",
        "Content",
        "Crosses as",
        "Of it lists",
        "Ratio",
        "Encoding (ms)",
        "Decoding (ms)",
    )
    return f"""
## Encodings

Bytes of a decode step, both ways. A list says what the tensors are: of the content-addressed mode
it holds the hashes. Encoding and decoding are the client's; the worker's are part of the copies to
and from its device.

{markdown_table(header, cells, text_columns=1)}
"""
