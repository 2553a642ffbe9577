"""Where a step's time goes beyond computing, and how it compares with ``local``."""

from collections.abc import Sequence
from statistics import median

import msgspec

from semgap.analysis.numbers.comparison import BASELINE_MODE
from semgap.inference.steps import SPANS, StepRecord
from semgap.measurement.run_record import PhaseRecord, RunRecord
from semgap.plumbing.markup import markdown_table

# Below this size, a step's transfer time shows latency, not goodput.
_GOODPUT_BYTES = 64_000_000
PHASES = ("prefill", "decode")


class OverheadRow(msgspec.Struct, frozen=True):
    """One phase of one mode: medians over all steps of all repeats."""

    phase: str
    mode: str
    transport: str
    steps: int
    step_s: float
    of_local: float | None  # median step ÷ median step of local; empty where local was not run
    beyond_compute_s: float  # median of a step's latency minus its compute span
    placement_s: float
    serialise_s: float
    send_s: float
    host_to_device_s: float
    queue_s: float
    other_worker_s: float  # the worker's handler apart from the pass
    compute_s: float
    device_to_host_s: float
    receive_s: float
    tensor_bytes_per_step: float  # median content of the tensors of both directions
    goodput_bytes_per_s: float  # tensor bytes of both directions ÷ transfer
    # Median over repeats of a phase's latency ÷ the sum of its steps' transfer and compute spans.
    phase_of_transfer_and_compute: float


_BEFORE, _AFTER = SPANS[: SPANS.index("worker_s")], SPANS[SPANS.index("worker_s") + 1 :]
_SPANS = (*_BEFORE, "other_worker_s", "compute_s", *_AFTER)


def overhead_rows(records: Sequence[RunRecord]) -> list[OverheadRow]:
    """One row for each phase and mode, phases first."""
    by_mode: dict[str, list[RunRecord]] = {}
    for record in records:
        by_mode.setdefault(record.mode, []).append(record)
    rows = []
    for name in PHASES:
        local = _phases(by_mode.get(BASELINE_MODE, ()), name)
        local_s = median(step.latency_s for one in local for step in one.steps) if local else None
        for mode, own in by_mode.items():
            rows.append(_row(name, mode, own[0].transport, _phases(own, name), local_s))
    return rows


def overhead_report(rows: Sequence[OverheadRow], ceiling_bytes_per_s: float | None) -> str:
    """The rows as Markdown.

    Args:
        ceiling_bytes_per_s: goodput of plain sockets on the same link, captured or not as the runs
            were; None where it was not measured.
    """
    header = (
        *("Phase", "Mode", "Transport", "Steps", "Step", "÷ local", "Step − compute"),
        *(span.removesuffix("_s").replace("_", " ").capitalize() for span in _SPANS),
        *("Phase ÷ (transfer + compute)", "Transfer ÷ plain sockets"),
    )
    cells = [
        (
            *(row.phase.capitalize(), row.mode, row.transport, str(row.steps)),
            f"{row.step_s * 1e3:.3f}",
            "–" if row.of_local is None else f"{row.of_local:.3f}",
            *(f"{getattr(row, name) * 1e3:.3f}" for name in ("beyond_compute_s", *_SPANS)),
            f"{row.phase_of_transfer_and_compute:.3f}",
            _of_ceiling(row, ceiling_bytes_per_s),
        )
        for row in rows
    ]
    return f"""# Where a step's time goes

{markdown_table(header, cells, text_columns=3)}

Milliseconds, medians over all steps of all repeats. The client's placements cut and join tensors,
the client serialises and sends, the rest is copied to the worker's device, the request waits in the
queue, the worker computes and does other things, the first of the reply is copied from the device,
the client receives. The spans tile a step; their medians need not add up to the step's.
Transfer: serialise + send + both copies + receive. Transfer ÷ plain sockets: tensor bytes ÷
transfer, of the goodput that plain sockets have on this link; for steps of 64 MB and more.
"""


def _of_ceiling(row: OverheadRow, ceiling_bytes_per_s: float | None) -> str:
    """A dash for small steps: a round trip does not measure goodput."""
    if ceiling_bytes_per_s is None or row.tensor_bytes_per_step < _GOODPUT_BYTES:
        return "–"
    return f"{row.goodput_bytes_per_s / ceiling_bytes_per_s:.2f}"


def _phases(records: Sequence[RunRecord], name: str) -> list[PhaseRecord]:
    return [phase for record in records for phase in record.phases if phase.name == name]


def _row(
    name: str, mode: str, transport: str, phases: Sequence[PhaseRecord], local_s: float | None
) -> OverheadRow:
    steps = [step for phase in phases for step in phase.steps]
    step_s = median(step.latency_s for step in steps)
    spans_s = {name: median(getattr(step, name) for step in steps) for name in _BEFORE + _AFTER}
    return OverheadRow(
        phase=name,
        mode=mode,
        transport=transport,
        steps=len(steps),
        step_s=step_s,
        of_local=None if local_s is None else step_s / local_s,
        beyond_compute_s=median(step.latency_s - step.compute_s for step in steps),
        **spans_s,
        other_worker_s=median(step.worker_s - step.compute_s for step in steps),
        compute_s=median(step.compute_s for step in steps),
        tensor_bytes_per_step=median(map(_tensor_bytes, steps)),
        goodput_bytes_per_s=median(_tensor_bytes(step) / step.transfer_s for step in steps),
        phase_of_transfer_and_compute=median(
            phase.latency_s / sum(step.transfer_s + step.compute_s for step in phase.steps)
            for phase in phases
        ),
    )


def _tensor_bytes(step: StepRecord) -> int:
    return step.crossed_up_bytes + step.crossed_down_bytes
