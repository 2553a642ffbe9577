"""What a step must move and compute, and what it took at the points of a sweep."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from semgap.analysis.numbers.numbers import PHASES, Numbers
from semgap.measurement.run_record import RunRecord
from semgap.model.manifest import Manifest
from semgap.placements import Content, load_placement
from semgap.policy import Policy, TensorClass, WorkerPlace
from semgap.server.network_namespace import burst_bytes

TOKEN_BYTES = 8  # int64


class Link(NamedTuple):
    """What is between client and worker."""

    rate_gbit: float | None  # of each direction; none is as fast as the hosts are
    round_trip_ms: float = 0.0
    burst_bytes: int = 0  # what a shaper lets pass at once, each way


class Shape(NamedTuple):
    """What of a model its costs follow from."""

    name: str
    parameters: int
    weights_bytes: int
    kv_bytes_per_position: int
    logits_bytes_per_position: int


class Load(NamedTuple):
    """What one step reads, computes and moves."""

    memory_bytes: float  # weights and the KV cache that it continues from
    flops: float
    up_bytes: float  # content of the tensors
    down_bytes: float

    @property
    def crossing_bytes(self) -> float:
        """Both ways."""
        return self.up_bytes + self.down_bytes


@dataclass(frozen=True)
class Point:
    """One phase of one mode at one point of a sweep: medians over its steps."""

    experiment: str
    mode: str
    phase: str
    prompt_tokens: int
    link: Link
    load: Load
    latency_s: float
    compute_s: float
    socket_s_per_byte: float  # what plain sockets of this machine take; 0 if nothing timed them

    @property
    def place(self) -> tuple[str, str]:
        """What it shares its constants with."""
        return self.mode, self.phase


def load_of(
    policy: Policy, shape: Shape, phase: str, prompt_tokens: int, sequences: int = 1
) -> Load:
    """A step by arithmetic on a policy and a model's shape alone: the prefill, or a token after it.

    A multiplication and an addition for each parameter and token: Kaplan et al., "Scaling laws for
    neural language models", 2020, section 2.1.
    """
    before, new = (0, prompt_tokens) if phase == "prefill" else (prompt_tokens, 1)
    kv_bytes = sequences * shape.kv_bytes_per_position
    known = max(before - 1, 0)
    contents = {
        TensorClass.WEIGHTS: Content(shape.weights_bytes, 0, 0),
        TensorClass.KV_CACHE: Content(*(kv_bytes * n for n in (before, known, before + new))),
        TensorClass.TOKENS: Content(TOKEN_BYTES * new * sequences, 0, 0),
        TensorClass.LOGITS: Content(0, 0, shape.logits_bytes_per_position * sequences),
    }
    crossing = [
        load_placement(placement).crossing(contents[name])
        for name, placement in placements_of(policy).items()
    ]
    return Load(
        memory_bytes=shape.weights_bytes + kv_bytes * before,
        flops=2.0 * shape.parameters * new * sequences,
        up_bytes=sum(one.up for one in crossing),
        down_bytes=sum(one.down for one in crossing),
    )


def placements_of(policy: Policy) -> Mapping[TensorClass, str]:
    """Where each class lives; where the worker is in the client's process, nothing crosses."""
    if policy.worker is WorkerPlace.IN_PROCESS:
        return {}
    return {name: getattr(policy, name) for name in TensorClass}


def shape_of(manifest: Manifest, positions: int) -> Shape:
    """The experiment's model; its KV cache as it grows up to so many positions."""
    return Shape(
        manifest.name,
        manifest.parameters,
        manifest.weights_bytes,
        manifest.kv_cache_bytes(positions) // positions,
        manifest.logits_bytes_per_position,
    )


def points_in(sweep: Iterable[Numbers]) -> list[Point]:
    """All phases of all modes of all experiments, short prompts and what has no rate first."""
    points = [point for numbers in sweep for point in _points(numbers)]
    return sorted(points, key=_order)


def _order(point: Point) -> tuple[int, float, float]:
    """Experiments that differ in something else keep the sweep's order."""
    link = point.link
    return point.prompt_tokens, link.round_trip_ms, link.rate_gbit or 0.0


def _points(numbers: Numbers) -> Iterator[Point]:
    link = _asked(numbers.records)
    sockets = [1 / one.yardstick.socket_bytes_per_s for one in numbers.records if one.yardstick]
    socket_s_per_byte = median(sockets) if sockets else 0.0
    for mode in numbers.labels:
        records = [record for record in numbers.records if record.mode == mode]
        tokens = records[0].prompt_tokens
        shape = shape_of(numbers.manifest, tokens)
        for phase in PHASES:
            steps = [
                step
                for record in records
                for one in record.phases
                if one.name == phase
                for step in one.steps
            ]
            load = load_of(records[0].policy, shape, phase, tokens)
            if records[0].policy.worker is WorkerPlace.SERVER:
                load = load._replace(
                    up_bytes=median(step.crossed_up_bytes for step in steps),
                    down_bytes=median(step.crossed_down_bytes for step in steps),
                )
            yield Point(
                numbers.expectation.experiment,
                *(mode, phase, tokens, link, load),
                latency_s=median(step.latency_s for step in steps),
                compute_s=median(step.compute_s for step in steps),
                socket_s_per_byte=socket_s_per_byte,
            )


def _asked(records: Iterable[RunRecord]) -> Link:
    shape = next((record.link for record in records if record.link), None)
    if shape is None:
        return Link(None)
    burst = 0 if shape.rate_gbit is None else burst_bytes(shape.rate_gbit)
    return Link(shape.rate_gbit, shape.round_trip_ms or 0.0, burst)
