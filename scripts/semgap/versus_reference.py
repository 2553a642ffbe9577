"""An experiment beside a recorded one: bytes must be the same, latencies are shown as ratios."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from semgap.phases import MEASURED_PHASES, PREFILL
from semgap.policy import REFERENCE_MODE
from semgap.records import Host, Manifest, RunRecord
from semgap.summary import SummaryRow
from semgap.traffic import tolerance_bytes


class Workload(msgspec.Struct, frozen=True):
    """What, beside the model, decides how many bytes cross.

    Attributes:
        transport: of the modes that have one; their framing is part of the bytes.
    """

    prompt_tokens: int
    decode_steps: int
    logits_to_keep: int
    transport: str


@dataclass(frozen=True)
class Measured:
    """A finished experiment, or a recorded one."""

    name: str
    summary: Sequence[SummaryRow]
    manifest: Manifest
    workload: Workload
    host: Host


class ComparedRow(NamedTuple):
    """One phase of one mode, here and recorded.

    Attributes:
        agrees: whether the bytes are the same within the tolerance.
        here_of_local, recorded_of_local: mean latency ÷ that of ``local``; None without ``local``.
    """

    phase: str
    mode: str
    here_bytes: float
    recorded_bytes: float
    agrees: bool
    here_of_local: float | None
    recorded_of_local: float | None


class Comparison(NamedTuple):
    """An experiment beside one recorded run.

    Attributes:
        obstacles: why the two cannot be compared, one clause each; then there are no rows.
        unpaired: phases and modes that only one of the two has.
    """

    here: Measured
    recorded: Measured
    obstacles: tuple[str, ...]
    rows: tuple[ComparedRow, ...]
    unpaired: tuple[str, ...]

    @property
    def mismatches(self) -> list[ComparedRow]:
        """The rows whose bytes differ by more than the tolerance."""
        return [row for row in self.rows if not row.agrees]


def workload_of(records: Sequence[RunRecord]) -> Workload:
    """The workload that the runs of an experiment share."""
    record = records[0]
    transports = sorted({item.transport for item in records} - {"in_process"})
    return Workload(
        prompt_tokens=record.prompt_tokens,
        decode_steps=record.decode_steps,
        logits_to_keep=record.logits_to_keep,
        transport=", ".join(transports) or "none",
    )


def compare(here: Measured, recorded: Measured) -> Comparison:
    """Compare bytes and latency ratios, if the two are the same workload."""
    obstacles = tuple(_obstacles(here, recorded))
    if obstacles:
        return Comparison(here, recorded, obstacles, (), ())
    ours, theirs = _by_key(here), _by_key(recorded)
    return Comparison(
        here,
        recorded,
        (),
        tuple(_compared(ours[key], theirs[key], here, recorded) for key in ours if key in theirs),
        tuple(f"{phase} of {mode}" for phase, mode in sorted(ours.keys() ^ theirs.keys())),
    )


def bytes_agree(here_bytes: float, recorded_bytes: float, steps: int) -> bool:
    """Whether a phase of so many steps moved the same bytes within the tolerance."""
    return abs(here_bytes - recorded_bytes) <= tolerance_bytes(recorded_bytes, steps)


def _obstacles(here: Measured, recorded: Measured) -> Iterable[str]:
    for what, ours, theirs in (
        ("model fingerprint", here.manifest.fingerprint, recorded.manifest.fingerprint),
        ("weights (bytes)", here.manifest.weights_bytes, recorded.manifest.weights_bytes),
        (
            "KV cache a token (bytes)",
            here.manifest.kv_cache_bytes_per_token,
            recorded.manifest.kv_cache_bytes_per_token,
        ),
        ("prompt tokens", here.workload.prompt_tokens, recorded.workload.prompt_tokens),
        ("decode steps", here.workload.decode_steps, recorded.workload.decode_steps),
        ("logits to keep", here.workload.logits_to_keep, recorded.workload.logits_to_keep),
        ("transport", here.workload.transport, recorded.workload.transport),
        ("origin of the network bytes", _sources(here), _sources(recorded)),
    ):
        if ours != theirs:
            yield f"{what} here {ours}, recorded {theirs}"


def _sources(measured: Measured) -> str:
    return ", ".join(sorted({row.network_source for row in _by_key(measured).values()}))


def _by_key(measured: Measured) -> dict[tuple[str, str], SummaryRow]:
    rows = {(row.phase, row.mode): row for row in measured.summary if row.phase in MEASURED_PHASES}
    return dict(sorted(rows.items(), key=lambda item: MEASURED_PHASES.index(item[0][0])))


def _compared(
    ours: SummaryRow, theirs: SummaryRow, here: Measured, recorded: Measured
) -> ComparedRow:
    steps = 1 if ours.phase == PREFILL else here.workload.decode_steps
    return ComparedRow(
        phase=ours.phase,
        mode=ours.mode,
        here_bytes=ours.network_mean_bytes,
        recorded_bytes=theirs.network_mean_bytes,
        agrees=bytes_agree(ours.network_mean_bytes, theirs.network_mean_bytes, steps),
        here_of_local=_of_local(ours, here),
        recorded_of_local=_of_local(theirs, recorded),
    )


def _of_local(row: SummaryRow, measured: Measured) -> float | None:
    local = _by_key(measured).get((row.phase, REFERENCE_MODE))
    return None if local is None else row.latency_mean_s / local.latency_mean_s
