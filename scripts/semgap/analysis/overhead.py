"""Where a step's time goes beyond computing, and how it compares with ``local``."""

from collections.abc import Iterable, Sequence
from statistics import median

import msgspec

from semgap.analysis.correctness import REFERENCE_MODE
from semgap.inference.steps import StepRecord
from semgap.measurement.run_record import PhaseRecord, RunRecord
from semgap.plumbing.markdown import markdown_table

# From here on, a step's transfer says how much a second crosses rather than how long one waits.
_GOODPUT_BYTES = 64_000_000
PHASES = ("prefill", "decode")
SPANS = (
    "placement_s",
    "serialise_s",
    "send_s",
    "queue_s",
    "other_worker_s",
    "compute_s",
    "receive_s",
)


class OverheadRow(msgspec.Struct, frozen=True):
    """One phase of one mode: medians over all steps of all repeats."""

    phase: str
    mode: str
    transport: str
    steps: int
    step_s: float
    # median step ÷ median step of ``local``; empty where ``local`` was not run
    of_local: float | None
    beyond_compute_s: float  # median of a step's latency minus its compute span
    placement_s: float
    serialise_s: float
    send_s: float
    queue_s: float
    other_worker_s: float  # the worker's handler apart from the pass
    compute_s: float
    receive_s: float
    tensor_bytes_per_step: float  # median content of the tensors of both directions
    goodput_bytes_per_s: float  # tensor bytes of both directions ÷ (serialise + send + receive)
    # median over repeats of a phase's latency ÷ the sum of its steps' transfer (serialise + send +
    # receive) and compute spans
    phase_of_transfer_and_compute: float


def overhead_rows(records: Sequence[RunRecord]) -> list[OverheadRow]:
    """One row for each phase and mode, phases first."""
    modes = list(dict.fromkeys(record.mode for record in records))
    by_mode = {mode: [record for record in records if record.mode == mode] for mode in modes}
    rows = []
    for phase in PHASES:
        local = by_mode.get(REFERENCE_MODE)
        local_s = median(_latencies(_steps(local, phase))) if local else None
        rows += [_row(phase, mode, own, local_s) for mode, own in by_mode.items()]
    return rows


def overhead_report(rows: Sequence[OverheadRow], ceiling_bytes_per_s: float | None) -> str:
    """The rows as Markdown.

    Args:
        ceiling_bytes_per_s: goodput of plain sockets on the same link, captured or not as the runs
            were; None where it was not measured.
    """
    table = markdown_table(
        (
            *("Phase", "Mode", "Transport", "Steps", "Step", "÷ local", "Step − compute"),
            *(span.removesuffix("_s").replace("_", " ").capitalize() for span in SPANS),
            "Phase ÷ (transfer + compute)",
            "Transfer ÷ plain sockets",
        ),
        [
            (
                row.phase.capitalize(),
                row.mode,
                row.transport,
                str(row.steps),
                f"{row.step_s * 1e3:.3f}",
                "–" if row.of_local is None else f"{row.of_local:.3f}",
                f"{row.beyond_compute_s * 1e3:.3f}",
                *(f"{getattr(row, span) * 1e3:.3f}" for span in SPANS),
                f"{row.phase_of_transfer_and_compute:.3f}",
                _of_ceiling(row, ceiling_bytes_per_s),
            )
            for row in rows
        ],
        text_columns=3,
    )
    return "\n\n".join(
        (
            "# Where a step's time goes",
            table,
            "Milliseconds, medians over all steps of all repeats: the client's placements cut and "
            "join tensors, the client serialises, sends; the request waits in the queue, the "
            "worker computes and does other things; the client receives. The spans tile a step; "
            "their medians need not add up to the step's. Transfer ÷ plain sockets: tensor bytes ÷ "
            "(serialise + send + receive), of the goodput that plain sockets have on this link; "
            "for steps of 64 MB and more.",
            "",
        )
    )


def _of_ceiling(row: OverheadRow, ceiling_bytes_per_s: float | None) -> str:
    """Empty where little crosses: a round trip is no measure of goodput."""
    if ceiling_bytes_per_s is None or row.tensor_bytes_per_step < _GOODPUT_BYTES:
        return "–"
    return f"{row.goodput_bytes_per_s / ceiling_bytes_per_s:.2f}"


def _row(phase: str, mode: str, records: Sequence[RunRecord], local_s: float | None) -> OverheadRow:
    steps = _steps(records, phase)
    step_s = median(_latencies(steps))

    def of(span: str) -> float:
        return median(float(getattr(step, span)) for step in steps)

    return OverheadRow(
        phase=phase,
        mode=mode,
        transport=records[0].transport,
        steps=len(steps),
        step_s=step_s,
        of_local=None if local_s is None else step_s / local_s,
        beyond_compute_s=median(step.latency_s - step.compute_s for step in steps),
        placement_s=of("placement_s"),
        serialise_s=of("serialise_s"),
        send_s=of("send_s"),
        queue_s=of("queue_s"),
        other_worker_s=median(step.worker_s - step.compute_s for step in steps),
        compute_s=of("compute_s"),
        receive_s=of("receive_s"),
        tensor_bytes_per_step=median(map(_tensor_bytes, steps)),
        goodput_bytes_per_s=median(_tensor_bytes(step) / _transfer_s(step) for step in steps),
        phase_of_transfer_and_compute=median(
            _of_transfer_and_compute(_phase(record, phase)) for record in records
        ),
    )


def _steps(records: Sequence[RunRecord], phase: str) -> list[StepRecord]:
    return [step for record in records for step in _phase(record, phase).steps]


def _phase(record: RunRecord, name: str) -> PhaseRecord:
    return next(phase for phase in record.phases if phase.name == name)


def _latencies(steps: Iterable[StepRecord]) -> list[float]:
    return [step.latency_s for step in steps]


def _transfer_s(step: StepRecord) -> float:
    return step.serialise_s + step.send_s + step.receive_s


def _tensor_bytes(step: StepRecord) -> int:
    return sum(step.up_bytes.values()) + sum(step.down_bytes.values())


def _of_transfer_and_compute(phase: PhaseRecord) -> float:
    return phase.latency_s / sum(_transfer_s(step) + step.compute_s for step in phase.steps)
