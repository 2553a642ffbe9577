"""Somebody else's systems beside the modes: the same numbers of both, and what the wire shows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean

import msgspec
import numpy as np
from msgspec.structs import replace

from semgap.analysis.gates.belonging import measure_again
from semgap.analysis.gates.correctness import RunResult, difference_of
from semgap.analysis.numbers.comparison import BASELINE_MODE
from semgap.analysis.numbers.counts import BETWEEN_COUNTS_BYTES
from semgap.analysis.numbers.numbers import Numbers, TableRow, table_rows
from semgap.analysis.numbers.second_clock import exchanges_in, exchanges_of
from semgap.analysis.numbers.summary import repeat_rows, summarise
from semgap.analysis.numbers.traffic import TrafficRow, traffic_of_run, turns_of_run
from semgap.errors import CaptureError, MeasurementError
from semgap.measurement.run_record import RunRecord
from semgap.model.manifest import Manifest
from semgap.pcap.turns import Turn
from semgap.plumbing.files import digest_of, read_record
from semgap.policy import Label
from semgap.systems.system_run import SystemRun
from semgap.systems.system_settings import SystemSettings

_PHASES = ("setup", "prefill", "decode")
# What is less than half as large as something is not that.
_HALF = 0.5


@dataclass(frozen=True)
class SystemEvidence:
    """A system's repeat, and what it left; without traffic where it failed."""

    settings: SystemSettings
    run: SystemRun
    result: RunResult | None
    traffic: Sequence[TrafficRow] = ()
    turns: Sequence[Turn] = ()


def system_evidence(
    systems: Mapping[str, SystemSettings], run_file: Path, logits: Path, capture: Path
) -> SystemEvidence:
    """Read what a job left, and count what its capture shows.

    What cannot be counted is a failure of the system, too.

    Args:
        systems: how each is named and judged.

    Raises:
        MeasurementError: a file is not the one that was written with the record.
    """
    run = read_record(run_file, SystemRun)
    settings = systems[run.system_id]
    if run.record is None:
        return SystemEvidence(settings, run, None)
    if (digest_of(logits), digest_of(capture)) != (
        run.record.logits_sha256,
        run.record.capture_sha256,
    ):
        raise MeasurementError(
            f"'{logits}' or '{capture}' was changed after it was written with '{run_file}'.",
            measure_again(run_file),
        )
    try:
        traffic, turns = traffic_of_run(run.record, capture), turns_of_run(run.record, capture)
    except CaptureError as error:
        return SystemEvidence(settings, replace(run, record=None, failure=str(error)), None)
    policy = replace(run.record.policy, logit_tolerance=settings.logit_tolerance)
    result = RunResult(replace(run.record, policy=policy), np.load(logits))
    return SystemEvidence(settings, run, result, traffic, turns)


class PeerRow(msgspec.Struct, frozen=True):
    """One phase of a mode or a system: means over its repeats; of a failed system, why."""

    phase: str
    system: str
    label: str
    ours: bool
    repeats: int
    failure: str | None = None
    program: str | None = None  # what a system's program says that it is
    latency_s: float | None = None
    latency_std_s: float | None = None
    network_bytes: float | None = None
    gpu_percent: float | None = None
    own_local_ratio: float | None = None  # its latency ÷ that of itself without a network
    # Of one step.
    round_trips: float | None = None
    up_bytes: float | None = None
    down_bytes: float | None = None
    client_cpu_s: float | None = None
    worker_cpu_s: float | None = None
    # Resident memory of its programs.
    client_held_bytes: float | None = None
    worker_held_bytes: float | None = None
    logit_difference: float | None = None  # the largest from local's, in all repeats
    logit_tolerance: float | None = None
    on_the_wire: str | None = None  # what the bytes say of weights and KV cache; of decode alone


def peer_rows(
    numbers: Numbers, evidence: Sequence[SystemEvidence], local: RunResult
) -> list[PeerRow]:
    """Rows of the modes in the order of the table, then of the systems.

    Args:
        local: a repeat of ``local``, which each system must agree with.
    """
    rows = list(_of_modes(numbers))
    for _system, repeats in groupby(evidence, lambda one: one.run.system_id):
        rows += _of_system(list(repeats), local)
    latency_s = {(row.phase, row.system): row.latency_s for row in rows}
    baselines = {one.run.system_id: one.settings.baseline or BASELINE_MODE for one in evidence}
    programs = {one.run.system_id: one.run.record.transport for one in evidence if one.run.record}
    bytes_of = {
        (row.phase, row.system): (row.up_bytes or 0.0, row.down_bytes or 0.0) for row in rows
    }
    return [
        replace(
            row,
            program=programs.get(row.system),
            own_local_ratio=_ratio(
                row.latency_s, latency_s.get((row.phase, baselines.get(row.system, BASELINE_MODE)))
            ),
            on_the_wire=_on_the_wire(bytes_of, row.system, numbers.manifest, positions_of(numbers))
            if row.phase == "decode" and row.failure is None
            else None,
        )
        for row in rows
    ]


def positions_of(numbers: Numbers) -> int:
    """Positions of the KV cache before the last decode step."""
    first = numbers.records[0]
    return first.prompt_tokens + first.settings.workload.decode_steps - 1


def failure_of(one: SystemEvidence, local: RunResult) -> str | None:
    """Why a system's repeat counts for nothing, if it does not count."""
    if one.result is None:
        return one.run.failure
    if not one.result.record.capture.captured:
        return f"Its bytes are unknown: {one.result.record.capture.reason}"
    if difference := difference_of(one.result, local):
        return f"Repeat {one.run.repeat}{difference}."
    readings = {phase.name: phase.readings["programs"] for phase in one.result.record.phases}
    for row in one.traffic:
        counted = readings[row.phase].get(f"program_{row.direction}_bytes")
        # What the kernel counted of a connection goes with it, so this may be less.
        if counted is not None and counted > row.payload_bytes + BETWEEN_COUNTS_BYTES:
            return (
                f"In the {row.phase} of repeat {one.run.repeat}, the capture shows "
                f"{row.payload_bytes} bytes {row.direction}, and the kernel counted {counted:.0f} "
                "at the program's sockets: not all of them are connections with its server."
            )
    return None


def _of_modes(numbers: Numbers) -> Iterator[PeerRow]:
    for row in [*numbers.setup, *numbers.table]:
        records = [record for record in numbers.records if record.mode == row.mode]
        trips = fmean(_phase_round_trips(record, row.phase) for record in records)
        yield _row(row, True, len(records), trips, row.mean("client_cpu_busy_s"))


def _phase_round_trips(record: RunRecord, phase: str) -> int:
    crosses = record.link_seen is not None
    return sum(one.round_trips for one in record.phases if one.name == phase and crosses)


def _of_system(repeats: Sequence[SystemEvidence], local: RunResult) -> Iterator[PeerRow]:
    system, settings = repeats[0].run.system_id, repeats[0].settings
    for one in repeats:
        if failure := failure_of(one, local):
            for phase in _PHASES:
                yield PeerRow(phase, system, settings.label, False, len(repeats), failure)
            return
    results = [one.result for one in repeats if one.result is not None]
    records = [result.record for result in results]
    difference = max(float(np.max(np.abs(one.logits - local.logits))) for one in results)
    measured = [(record, one.traffic, ()) for record, one in zip(records, repeats, strict=True)]
    labels: Mapping[str, Label] = {system: Label(settings.label)}
    for row in table_rows(summarise(repeat_rows(measured)), labels, _PHASES):
        trips = fmean(
            len(exchanges_in(phase.begin_unix_ns, phase.end_unix_ns, exchanges_of(one.turns)))
            for record, one in zip(records, repeats, strict=True)
            for phase in record.phases
            if phase.name == row.phase
        )
        yield replace(
            _row(row, False, len(repeats), trips, row.mean("program_cpu_busy_s")),
            logit_difference=difference,
            logit_tolerance=settings.logit_tolerance,
        )


def _row(
    row: TableRow, ours: bool, repeats: int, round_trips: float, client_cpu_s: float | None
) -> PeerRow:
    # In setup, a step is no more than a part of the weights.
    steps = 1.0 if row.phase == "setup" else row.quantities["steps"].mean
    latency = row.quantities["latency_s"]
    kernel_percent = row.mean("gpu_kernel_percent")
    return PeerRow(
        *(row.phase, row.mode, row.label, ours, repeats),
        latency_s=latency.mean,
        latency_std_s=latency.std,
        network_bytes=row.mean("network_bytes"),
        gpu_percent=row.mean("gpu_nvml_percent") if kernel_percent is None else kernel_percent,
        round_trips=round_trips / steps,
        up_bytes=row.quantities["network_up_bytes"].mean / steps,
        down_bytes=row.quantities["network_down_bytes"].mean / steps,
        client_cpu_s=None if client_cpu_s is None else client_cpu_s / steps,
        worker_cpu_s=row.quantities["worker_cpu_busy_s"].mean / steps,
        client_held_bytes=row.mean("program_held_bytes"),
        worker_held_bytes=row.mean("server_held_bytes"),
    )


def _ratio(latency_s: float | None, baseline_s: float | None) -> float | None:
    return None if latency_s is None or not baseline_s else latency_s / baseline_s


def _on_the_wire(
    bytes_of: Mapping[tuple[str, str], tuple[float, float]],
    system: str,
    manifest: Manifest,
    positions: int,
) -> str:
    """What sizes alone can say: something smaller than a tensor cannot hold it."""
    set_up, _ = bytes_of["setup", system]
    up, down = bytes_of["decode", system]
    weights, kv_cache = manifest.weights_bytes, manifest.kv_cache_bytes(positions)
    if not up and not down:
        return "nothing crosses"
    if up >= weights:
        of_weights, rest = "weights with each step", up - weights
    elif set_up >= _HALF * weights:
        of_weights, rest = f"weights once ({set_up / weights:.2f} times their size)", up
    else:
        of_weights, rest = "weights not over the network", up
    share = max(rest, down) / kv_cache
    return f"{of_weights}; a step moves {share:.2g} times the KV cache's size"
