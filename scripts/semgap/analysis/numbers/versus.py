"""The recorded results of the nearest kind, and how an experiment compares with them."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from semgap.analysis.expectation import Asked, Expectation
from semgap.analysis.numbers.comparison import BASELINE_MODE, ComparisonRow
from semgap.analysis.numbers.counts import FRAMING_BYTES_PER_MESSAGE, FRAMING_SHARE
from semgap.analysis.numbers.summary import SummaryRow
from semgap.model.manifest import Manifest
from semgap.plumbing.files import read_record, read_rows


class Agreement(StrEnum):
    """How bytes compare with recorded ones."""

    EQUAL = "EQUAL"
    WITHIN_TOLERANCE = "WITHIN TOLERANCE"
    DIFFERS = "DIFFERS"


class VersusRow(msgspec.Struct, frozen=True):
    """One number of one phase of one mode, recorded and here."""

    reference: str  # the recorded experiment
    phase: str
    mode: str
    quantity: str
    recorded: float
    # low, high: 95 % interval of a ratio
    recorded_low: float | None
    recorded_high: float | None
    here: float
    here_low: float | None
    here_high: float | None
    tolerance: float | None  # how far both may be apart; None where hardware decides
    agreement: Agreement | None


def agreement_text(rows: Sequence[VersusRow]) -> str:
    """How the bytes of all phases and modes compare: "EQUAL, beside those of mini-tcp"."""
    found = {row.agreement for row in rows} - {None}
    if not found:
        return "nothing recorded to compare with"
    worst = max((one for one in found if one), key=list(Agreement).index)
    return f"{worst}, beside those of {rows[0].reference}"


@dataclass(frozen=True)
class Results:
    """What is compared of an experiment."""

    name: str
    expectation: Expectation
    manifest: Manifest
    summary: Sequence[SummaryRow]
    comparisons: Sequence[ComparisonRow]


def recorded_in(folder: Path) -> list[Path]:
    """The recorded experiments of a folder."""
    return sorted(file.parent for file in folder.glob("*/manifest.json"))


def read_recorded(folder: Path) -> Results:
    """Read a recorded experiment."""
    names = ("expectation.json", "manifest.json", "summary.csv", "comparisons.csv")
    return dataclasses.replace(
        read_results(*(folder / name for name in names)), name=_name_of(folder)
    )


def read_results(expectation: Path, manifest: Path, summary: Path, comparisons: Path) -> Results:
    """Read what is compared of an experiment."""
    asked = read_record(expectation, Asked).expectation
    return Results(
        name=asked.experiment,
        expectation=asked,
        manifest=read_record(manifest, Manifest),
        summary=read_rows(summary, SummaryRow),
        comparisons=read_rows(comparisons, ComparisonRow),
    )


def _name_of(folder: Path) -> str:
    """An experiment of a sweep has its prompt's length for a name."""
    return f"{folder.parent.name}/{folder.name}" if folder.name.isdigit() else folder.name


def versus_nearest(here: Results, folders: Sequence[Path]) -> list[VersusRow]:
    """Compare with the nearest of the recorded experiments; no rows where none is of the kind."""
    nearest = nearest_recorded(folders, here.expectation, here.manifest)
    return versus_recorded(here, read_recorded(nearest)) if nearest else []


def nearest_recorded(
    folders: Sequence[Path], expectation: Expectation, manifest: Manifest
) -> Path | None:
    """The recorded experiment with the same model and workload, if there is one.

    Of several, one over the same transport, on the same kind of device, with the same engine, over
    the same interface and with the same modes; of these, the one with most runs.
    """
    near = []
    for folder in folders:
        other = read_record(folder / "expectation.json", Asked).expectation
        recorded = read_record(folder / "manifest.json", Manifest)
        if _what_decides_bytes(expectation, manifest) == _what_decides_bytes(other, recorded):
            alike = sum(
                ours == theirs
                for ours, theirs in zip(
                    _circumstances(expectation), _circumstances(other), strict=True
                )
            )
            near.append((-alike, -len(other.runs), folder))
    return min(near)[-1] if near else None


def _what_decides_bytes(expectation: Expectation, manifest: Manifest) -> tuple[object, ...]:
    workload = expectation.runs[0].settings.workload
    return (
        expectation.prompt_tokens,
        expectation.prompt_text,
        workload.decode_steps,
        workload.logits_to_keep,
        manifest.weights_bytes,
        manifest.kv_cache,
        manifest.logits_bytes_per_position,
    )


def _circumstances(expectation: Expectation) -> tuple[object, ...]:
    settings = expectation.runs[0].settings
    device = settings.worker.device.partition(":")[0]
    transports = {run.transport for run in expectation.runs}
    modes = set(expectation.labels)
    return transports, device, settings.worker.engine, settings.capture.interface, modes


def versus_recorded(here: Results, recorded: Results) -> list[VersusRow]:
    """Compare bytes, and latencies as ratios to ``local``, of the modes that both have."""
    return [*_bytes(here, recorded), *_ratios(here, recorded)]


def _bytes(here: Results, recorded: Results) -> Iterator[VersusRow]:
    ours, theirs = _by_place(here), _by_place(recorded)
    for phase, mode in (place for place in ours if place in theirs):
        mine, other = ours[phase, mode], theirs[phase, mode]
        if mine["network_bytes"].source == other["network_bytes"].source:
            quantity = "network_bytes"
            found, expected = mine[quantity].mean, other[quantity].mean
            # Another transport frames the same content in another way.
            framing = abs(
                mine["expected_network_bytes"].mean - other["expected_network_bytes"].mean
            )
            per_message = 2 * FRAMING_BYTES_PER_MESSAGE * mine["steps"].mean
            tolerance = (1 + FRAMING_SHARE) * framing + per_message
        else:
            # The transport counts no framing, a capture does.
            quantity = "tensor_bytes"
            found, expected = (
                row["tensor_up_bytes"].mean + row["tensor_down_bytes"].mean for row in (mine, other)
            )
            tolerance = 0.0
        apart = abs(found - expected)
        yield VersusRow(
            reference=recorded.name,
            phase=phase,
            mode=mode,
            quantity=quantity,
            recorded=expected,
            recorded_low=None,
            recorded_high=None,
            here=found,
            here_low=None,
            here_high=None,
            tolerance=tolerance,
            agreement=(
                Agreement.EQUAL
                if apart == 0
                else Agreement.WITHIN_TOLERANCE
                if apart <= tolerance
                else Agreement.DIFFERS
            ),
        )


def _by_place(one: Results) -> dict[tuple[str, str], dict[str, SummaryRow]]:
    """Quantities by their name, of each phase of each mode."""
    found: dict[tuple[str, str], dict[str, SummaryRow]] = {}
    for row in one.summary:
        found.setdefault((row.phase, row.mode), {})[row.quantity] = row
    return {place: rows for place, rows in found.items() if "network_bytes" in rows}


def _ratios(here: Results, recorded: Results) -> Iterator[VersusRow]:
    ours, theirs = (
        {(row.phase, row.mode): row for row in one.comparisons if row.baseline == BASELINE_MODE}
        for one in (here, recorded)
    )
    for phase, mode in (place for place in ours if place in theirs):
        found, expected = ours[phase, mode], theirs[phase, mode]
        yield VersusRow(
            reference=recorded.name,
            phase=phase,
            mode=mode,
            quantity="latency_ratio",
            recorded=expected.ratio,
            recorded_low=expected.ratio_low,
            recorded_high=expected.ratio_high,
            here=found.ratio,
            here_low=found.ratio_low,
            here_high=found.ratio_high,
            tolerance=None,
            agreement=None,
        )
