"""The published table, as Markdown, LaTeX and unrounded CSV."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from semgap.analysis.summary import SummaryRow
from semgap.analysis.warnings import warnings
from semgap.measurement.rehearsal import settled
from semgap.measurement.run_record import RunRecord
from semgap.model.manifest import Manifest
from semgap.plumbing.markup import escaped_latex, escaped_markdown, markdown_table
from semgap.policy import Label, WorkerPlace

PHASES = ("prefill", "decode")
_HEADER = ("Phase", "Mode", "Latency (s)", "Network (GB)", "GPU Util (%)", "Latency Std Dev (s)")
_ABSENT = "–"
_BYTES_PER_GB = 1e9


@dataclass(frozen=True)
class TableRow:
    """A phase of a mode, with the mode's name as text and as LaTeX code."""

    phase: str
    mode: str
    label: str
    latex_label: str
    quantities: Mapping[str, SummaryRow]

    def mean(self, quantity: str) -> float | None:
        """The mean over the repeats, if it was measured."""
        found = self.quantities.get(quantity)
        return None if found is None else found.mean

    @property
    def latency(self) -> tuple[str, str]:
        """Mean and standard deviation in seconds, as the table shows them."""
        row = self.quantities["latency_s"]
        return with_deviation(row.mean, row.std)


@dataclass(frozen=True)
class Experiment:
    """What the notes under the table speak of."""

    manifest: Manifest
    records: Sequence[RunRecord]  # every run, of which the first represents what all share
    setup: Sequence[TableRow]  # the summary rows of the phase in which weights are shipped once


def table_rows(
    summary: Sequence[SummaryRow], labels: Mapping[str, Label], phases: Sequence[str]
) -> list[TableRow]:
    """The rows of the given phases: phase by phase, the modes in the order of ``labels``."""
    quantities: dict[tuple[str, str], dict[str, SummaryRow]] = {}
    for row in summary:
        quantities.setdefault((row.phase, row.mode), {})[row.quantity] = row
    return [
        TableRow(
            phase=phase,
            mode=mode,
            label=label.text,
            latex_label=escaped_latex(label.text) if label.latex is None else label.latex,
            quantities=quantities[phase, mode],
        )
        for phase in phases
        for mode, label in labels.items()
    ]


def unrounded_csv(rows: Sequence[TableRow], records: Sequence[RunRecord]) -> str:
    """One line per row of the table: commits, mean and deviation of every quantity, as CSV."""
    commits = " ".join(sorted({record.provenance.commit for record in records}))
    lines = [
        {"phase": row.phase, "mode": row.mode, "label": row.label, "commit": commits}
        | {
            f"{statistic}_{name}": getattr(found, statistic)
            for name, found in row.quantities.items()
            for statistic in ("mean", "std")
        }
        for row in rows
    ]
    text: str = pd.DataFrame(lines).to_csv(index=False, lineterminator="\n")
    return text


def markdown(rows: Sequence[TableRow], experiment: Experiment) -> str:
    """The table and the notes under it."""
    cells = [_cells(row, escaped_markdown(row.label)) for row in rows]
    body = markdown_table(_HEADER, cells, text_columns=2)
    notes = "\n".join(f"- {note}" for note in _notes(rows, experiment))
    return f"{body}\n\n{notes}\n"


def latex(rows: Sequence[TableRow], experiment: Experiment) -> str:
    r"""The table for a paper that loads booktabs and defines ``\sys``; notes are comments."""
    header = [name.replace("%", r"\%") for name in _HEADER]
    frame = pd.DataFrame([_in_latex(_cells(row, row.latex_label)) for row in rows])
    frame.columns = header
    body = frame.style.hide(axis="index").to_latex(hrules=True, column_format="llrrrr")
    notes = "\n".join(f"% {' '.join(note.split())}" for note in _notes(rows, experiment))
    return f"{notes}\n{body}"


def significant(value: float) -> str:
    """A number to four significant digits, in powers of ten where it is very small."""
    if value == 0:
        return "0"
    return f"{value:#.4g}".rstrip(".")


def with_deviation(mean: float, deviation: float | None) -> tuple[str, str]:
    """A mean and its standard deviation to the same decimal place.

    The deviation has two significant digits, unless the mean needs more decimals to show three.
    """
    if deviation is None:
        return significant(mean), _ABSENT
    decimals = max(_decimals(deviation, 2), _decimals(mean, 3), 0)
    return f"{mean:.{decimals}f}", f"{deviation:.{decimals}f}"


def _decimals(value: float, digits: int) -> int:
    if value == 0:
        return 0
    return digits - 1 - math.floor(math.log10(abs(value)))


def _cells(row: TableRow, label: str) -> list[str]:
    _mean, deviation = row.latency
    utilisation = row.mean("gpu_kernel_percent")
    return [
        *(row.phase.capitalize(), label, _latency(row), _gigabytes(row)),
        _ABSENT if utilisation is None else f"{utilisation:.1f}",
        deviation,
    ]


def _latency(row: TableRow) -> str:
    mean, deviation = row.latency
    return mean if deviation == _ABSENT else f"{mean} ± {deviation}"


def _gigabytes(row: TableRow) -> str:
    return significant(row.quantities["network_bytes"].mean / _BYTES_PER_GB)


def _in_latex(cells: Sequence[str]) -> list[str]:
    """Cells as LaTeX code; the label, the second, is that already."""
    phase, label, *figures = cells
    return [phase, label, *(cell.replace("±", r"$\pm$").replace(_ABSENT, "--") for cell in figures)]


def _notes(rows: Sequence[TableRow], experiment: Experiment) -> list[str]:
    manifest, record = experiment.manifest, experiment.records[0]
    steps = record.settings.workload.decode_steps
    machine, versions = record.machine, record.versions
    places = {one.transport for one in experiment.records} - {str(WorkerPlace.IN_PROCESS)}
    tolerance = max(one.policy.logit_tolerance for one in experiment.records)
    pretrained = "" if manifest.pretrained else "; this is not the pretrained model"
    return [
        f"Experiment `{record.settings.experiment}`: {manifest.name} "
        f"({manifest.parameters / 1e6:,.1f} M parameters, {manifest.weights_bytes / 1e6:,.2f} MB "
        f"of {manifest.dtype}), weights {manifest.origin}{pretrained}; "
        f"{record.prompt_tokens}-token prompt, {steps} decode steps.",
        _repeats_note(rows[0].quantities["latency_s"].n),
        f"Computed on {machine.gpu or f'{machine.cpu}, {record.compute_threads} threads'}; "
        f"{machine.cores} cores, {machine.memory_bytes / 1e9:.1f} GB; Linux {machine.kernel}, "
        f"Python {versions.python}, torch {versions.torch}, transformers {versions.transformers}.",
        _commit_note(experiment.records),
        _rehearsal_note(experiment.records),
        f"Transport: {', '.join(sorted(places)) or 'none'}; TCP connections on interface "
        f"{record.capture.interface}; client and worker share one machine.",
        _network_note(record),
        *_setup_notes(experiment.setup),
        _token_note(rows),
        "GPU Util: time in GPU kernels (CUPTI, in a pass of its own) ÷ the phase's wall time."
        if machine.gpu
        else "GPU Util: – because a CPU computed; the worker's processor use is in table.csv "
        "(mean_worker_cpu_percent, 100 = one core).",
        "Every repeat of every mode gave the same tokens as `local`, with logits within the "
        f"tolerance of its policy (at most {tolerance:g}).",
        "Limits: a single node, no real network link; the semantic-blind baselines are simulated "
        "at PyTorch level.",
        *(
            f"**Warning**: {what}."
            for what in warnings([row.quantities["latency_s"] for row in rows], experiment.records)
        ),
    ]


def _rehearsal_note(records: Sequence[RunRecord]) -> str:
    workload = records[0].settings.workload
    unsettled = [record.name for record in records if not settled(record.rehearsals, workload)]
    return (
        f"Warm-up: each run rehearsed both phases until two rehearsals in a row agreed within a "
        f"ratio of {workload.rehearsals_agree_ratio:g}, at most {workload.rehearsals_at_most} "
        f"times; not reached in {len(unsettled)} of {len(records)} runs"
        + (f" ({', '.join(unsettled)})." if unsettled else ".")
    )


def _commit_note(records: Sequence[RunRecord]) -> str:
    sources = {
        (f"{record.provenance.commit[:12]}" or "unknown: no git checkout")
        + (" with local changes" if record.provenance.dirty else "")
        for record in records
    }
    return f"Measured at commit {', '.join(sorted(sources))}."


def _repeats_note(n: int) -> str:
    measured = "latency is the whole phase, without start-up, loading and warm-up"
    if n == 1:
        return f"One repeat per mode: {measured}; no deviation can be given."
    return (
        f"n = {n} repeats per mode, interleaved; {measured}, mean ± sample standard deviation "
        "(n−1)."
    )


def _network_note(record: RunRecord) -> str:
    if record.capture.captured:
        return (
            "Network: TCP payload of both directions over the whole phase, retransmissions not "
            "counted (1 GB = 1e9 bytes), captured by tcpdump without drops; mean of the repeats."
        )
    return (
        f"Network: NOT captured by tcpdump ({record.capture.reason}). The transport counts "
        "instead: content of the tensors alone, without framing, and 0 where client and worker are "
        "one process (1 GB = 1e9 bytes); mean of the repeats."
    )


def _token_note(rows: Sequence[TableRow]) -> str:
    per_token = [
        f"{escaped_markdown(row.label)} {significant(row.quantities['latency_per_step_s'].mean)} s "
        f"({row.quantities['tokens_per_s'].mean:.3g} tokens/s)"
        for row in rows
        if row.phase == "decode"
    ]
    return (
        "Time to first token is the prefill's latency; time per output token, decode latency ÷ "
        f"steps: {'; '.join(per_token)}. Percentiles are in summary.csv (docs/terms.md)."
    )


def _setup_notes(setup: Sequence[TableRow]) -> list[str]:
    shipped = [
        f"{escaped_markdown(row.label)} {_gigabytes(row)} GB in {_latency(row)} s"
        for row in setup
        if row.mean("tensor_up_bytes") and row.mean("network_bytes")
    ]
    if not shipped:
        return []
    return [f"Setup (weights shipped once, before the phases above): {'; '.join(shipped)}."]
