"""peers.md: somebody else's systems beside the modes."""

from collections.abc import Sequence

from semgap.analysis.numbers.peers import PeerRow
from semgap.analysis.reports.columns import ABSENT, significant, with_deviation
from semgap.plumbing.markup import escaped_markdown, markdown_table


def peers_markdown(rows: Sequence[PeerRow]) -> str:
    """The published table with the systems in it, what a decode step moves, and what failed."""
    measured = [row for row in rows if row.failure is None]
    table = markdown_table(
        (
            *("Phase", "Mode", "Latency (s)", "Network (GB)", "GPU Util (%)"),
            *("Latency Std Dev (s)", "Latency ÷ own local"),
        ),
        [
            [row.phase.capitalize(), *_table_cells(row)]
            for phase in ("prefill", "decode")
            for row in measured
            if row.phase == phase
        ],
        text_columns=2,
    )
    steps = markdown_table(
        (
            *("Mode", "On the wire", "Round trips", "Up (bytes)", "Down (bytes)"),
            *("Client CPU (ms)", "Worker CPU (ms)", "Client holds (MB)", "Server holds (MB)"),
        ),
        [_step_cells(row) for row in measured if row.phase == "decode"],
        text_columns=2,
    )
    return f"""\
# Systems beside the modes

Rows in *italics* are programs of somebody else's, measured from outside: their latency includes a
line of JSON each way on a pipe; their bytes are what the capture shows between the program and its
server; tokens and logits were held against Local's.

{table}

## One decode step

Round trips are requests that had a reply before the next one began, in the capture. Memory is what
is resident of the system's own processes, libraries included. What the wire shows of weights and KV
cache follows from sizes alone.

{steps}
{_programs(rows)}{_differences(rows)}{_failed(rows)}"""


def _table_cells(row: PeerRow) -> list[str]:
    assert row.latency_s is not None, "it was measured"
    latency, deviation = with_deviation(row.latency_s, row.latency_std_s)
    both = latency if deviation == ABSENT else f"{latency} ± {deviation}"
    network = row.network_bytes or 0.0
    gpu = ABSENT if row.gpu_percent is None else f"{row.gpu_percent:.1f}"
    return [_name(row), both, significant(network / 1e9), gpu, deviation, _times(row)]


def _step_cells(row: PeerRow) -> list[str]:
    return [
        *(_name(row), row.on_the_wire or ABSENT),
        *(_number(row.round_trips), _whole(row.up_bytes), _whole(row.down_bytes)),
        *(_number(row.client_cpu_s, 1e3), _number(row.worker_cpu_s, 1e3)),
        *(_number(row.client_held_bytes, 1e-6), _number(row.worker_held_bytes, 1e-6)),
    ]


def _name(row: PeerRow) -> str:
    label = escaped_markdown(row.label)
    return label if row.ours else f"*{label}*"


def _times(row: PeerRow) -> str:
    return ABSENT if row.own_local_ratio is None else f"{significant(row.own_local_ratio)} ×"


def _number(value: float | None, scale: float = 1.0) -> str:
    return ABSENT if value is None else significant(scale * value)


def _whole(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.0f}"


def _programs(rows: Sequence[PeerRow]) -> str:
    names = {row.label: row.program for row in rows if row.program is not None}
    said = "; ".join(
        f"*{escaped_markdown(label)}*: {escaped_markdown(name)}" for label, name in names.items()
    )
    return f"\nThe programs say that they are: {said}.\n" if names else ""


def _differences(rows: Sequence[PeerRow]) -> str:
    seen = {
        row.label: f"{row.logit_difference:.2g} ({row.logit_tolerance:g})"
        for row in rows
        if row.logit_difference is not None
    }
    said = "; ".join(f"*{escaped_markdown(label)}* {numbers}" for label, numbers in seen.items())
    text = f"\nLargest difference of a logit from Local's (accepted): {said}.\n"
    return text if seen else ""


def _failed(rows: Sequence[PeerRow]) -> str:
    failures = {row.label: row.failure for row in rows if row.failure is not None}
    if not failures:
        return ""
    said = "\n".join(f"- *{escaped_markdown(label)}*: {why}" for label, why in failures.items())
    return f"\n## Failed\n\n{said}\n"
