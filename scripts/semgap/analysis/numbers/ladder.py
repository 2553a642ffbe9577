"""The modes as rungs from naive to semantic: what each pays in a decode step, and must know."""

from collections.abc import Iterator
from statistics import fmean
from typing import NamedTuple

from msgspec import structs

from semgap.analysis.numbers.numbers import Numbers
from semgap.measurement.run_record import PhaseRecord, RunRecord
from semgap.model.manifest import Manifest
from semgap.placements import Sides, load_placement
from semgap.policy import Policy, WorkerPlace

_FROM, _TO = "naive", "semantic"
# What is known where operators cross instead of passes.
_OF_OPERATORS = dict.fromkeys(
    ("per_operation", "pipelined_operations"), "operators, buffers, their lifetimes"
) | {"recorded_operations": "operators, buffers, their lifetimes, which operators repeat"}


class Rung(NamedTuple):
    """One mode: means per decode step over all steps of all repeats."""

    mode: str
    label: str
    # requests, and how many of their replies are waited for
    requests: float
    round_trips: float
    up_bytes: float
    down_bytes: float
    client_cpu_s: float
    worker_cpu_s: float
    held: Sides  # weights, KV cache and what an encoding keeps, after the last step
    latency_s: float
    # closed_bytes_ratio, closed_s_ratio: share of what naive takes more than semantic that this
    # mode does not; None without these two
    closed_bytes_ratio: float | None
    closed_s_ratio: float | None
    of_semantic_ratio: float | None  # its step ÷ semantic's
    knows: str

    @property
    def crossing_bytes(self) -> float:
        """Both ways."""
        return self.up_bytes + self.down_bytes


def ladder(numbers: Numbers) -> list[Rung]:
    """A rung per mode, in the order of the table."""
    rungs = {rung.mode: rung for rung in _rungs(numbers)}

    def closed(name: str, rung: Rung) -> float | None:
        if not {_FROM, _TO} <= rungs.keys():
            return None
        of, least, most = (getattr(one, name) for one in (rung, rungs[_TO], rungs[_FROM]))
        return float((most - of) / (most - least))

    return [
        rung._replace(
            closed_bytes_ratio=closed("crossing_bytes", rung),
            closed_s_ratio=closed("latency_s", rung),
            of_semantic_ratio=rung.latency_s / rungs[_TO].latency_s if _TO in rungs else None,
        )
        for rung in rungs.values()
    ]


def _rungs(numbers: Numbers) -> Iterator[Rung]:
    for row in numbers.table:
        if row.phase != "decode":
            continue
        records = [record for record in numbers.records if record.mode == row.mode]
        policy, steps = records[0].policy, row.quantities["steps"].mean
        positions = records[0].prompt_tokens + len(records[0].phases[-1].steps)
        stored = fmean(
            last.encoded.held_bytes if last.encoded else 0
            for record in records
            for last in record.phases[-1].steps[-1:]
        )
        held = _held(policy, numbers.manifest, positions)
        yield Rung(
            row.mode,
            row.label,
            requests=fmean(_remote(record).requests for record in records) / steps,
            round_trips=fmean(_remote(record).round_trips for record in records) / steps,
            up_bytes=row.quantities["network_up_bytes"].mean / steps,
            down_bytes=row.quantities["network_down_bytes"].mean / steps,
            client_cpu_s=(row.mean("client_cpu_busy_s") or 0.0) / steps,
            worker_cpu_s=row.quantities["worker_cpu_busy_s"].mean / steps,
            held=Sides(*(round(side + stored) for side in held)),
            latency_s=row.quantities["latency_per_step_s"].mean,
            closed_bytes_ratio=None,
            closed_s_ratio=None,
            of_semantic_ratio=None,
            knows=", ".join(_known(policy)),
        )


def _remote(record: RunRecord) -> PhaseRecord:
    """The decode phase; without steps where nothing crosses."""
    decode = record.phases[-1]
    remote = record.policy.worker is WorkerPlace.SERVER
    return decode if remote else structs.replace(decode, steps=())


def _held(policy: Policy, manifest: Manifest, positions: int) -> Sides:
    weights_bytes, kv_bytes = manifest.weights_bytes, manifest.kv_cache_bytes(positions)
    if policy.worker is WorkerPlace.IN_PROCESS:
        return Sides(weights_bytes + kv_bytes, 0)
    weights = load_placement(policy.weights).held(weights_bytes)
    kv_cache = load_placement(policy.kv_cache).held(kv_bytes)
    return Sides(weights.client + kv_cache.client, weights.worker + kv_cache.worker)


def _known(policy: Policy) -> Iterator[str]:
    """What a system must know of a program to be that mode."""
    if policy.executor in _OF_OPERATORS:
        yield _OF_OPERATORS[policy.executor]
        return
    yield "calls"
    if policy.encoding or policy.weights != "inline":
        yield "buffers"
    if policy.weights != "inline":
        yield "which persist"
    if policy.kv_cache != "inline" or policy.logit_tolerance:
        yield "which is the KV cache"
    if policy.logits != "inline":
        yield "what becomes of the logits"
