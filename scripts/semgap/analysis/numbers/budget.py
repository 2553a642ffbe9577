"""Each span of a step beside what its bytes take in a plain copy or a plain socket."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

import msgspec

from semgap.analysis.numbers.second_clock import quick
from semgap.inference.steps import StepRecord
from semgap.measurement.run_record import RunRecord
from semgap.measurement.yardstick import Yardstick
from semgap.policy import WorkerPlace

# How far an honest mode's span may be above its bytes' time, and above the mode that takes least.
_ABOVE_BYTES = 3
_ABOVE_LEAST = 3
_ABOVE_S = 0.5e-3
# The yardstick's socket is on this interface.
_LOOPBACK = "lo"


class _Span(NamedTuple):
    seconds: Callable[[StepRecord], float]
    content_bytes: Callable[[StepRecord], int]
    bytes_per_s: Callable[[Yardstick], float]


def _up(step: StepRecord) -> int:
    return step.crossed_up_bytes


def _down(step: StepRecord) -> int:
    return step.crossed_down_bytes


def _content(step: StepRecord) -> int:
    return step.total_up_bytes + step.total_down_bytes


def _copying(yardstick: Yardstick) -> float:
    return yardstick.copy_bytes_per_s


def _crossing(yardstick: Yardstick) -> float:
    return yardstick.socket_bytes_per_s


_SPANS: Mapping[str, _Span] = {
    "placing": _Span(lambda step: step.placement_s - step.encoding_s, _content, _copying),
    "serialising": _Span(lambda step: step.serialise_s, _up, _copying),
    "sending": _Span(lambda step: step.send_s, _up, _crossing),
    "waiting": _Span(lambda step: step.queue_s, lambda _step: 0, _copying),
    "handling": _Span(lambda step: step.worker_s - step.compute_s, _content, _copying),
    "receiving": _Span(lambda step: step.receive_s, _down, _crossing),
}
NETWORK_SPANS = ("sending", "receiving")


class BudgetRow(msgspec.Struct, frozen=True):
    """One span of a mode's steps in one phase: medians over the steps of all repeats."""

    phase: str
    mode: str
    span: str
    taken_s: float
    quick_s: float  # three of four steps take no less
    content_bytes: float
    plain_s: float  # what so many bytes take in a plain copy or socket of this machine
    budget_s: float

    @property
    def exceeds(self) -> bool:
        """Whether something else than its bytes takes time."""
        return self.quick_s > self.budget_s


def budget_rows(records: Sequence[RunRecord]) -> list[BudgetRow]:
    """A row for each span of each timed phase of each mode whose worker is another process."""
    yardsticks = [record.yardstick for record in records if record.yardstick is not None]
    if not yardsticks:
        return []
    steps: dict[tuple[str, str], list[StepRecord]] = defaultdict(list)
    for record in records:
        if record.policy.worker is WorkerPlace.SERVER:
            for phase in record.phases[1:]:
                # What a client does between a step's requests is no matter of bytes.
                if phase.requests == len(phase.steps):
                    steps[phase.name, record.mode] += phase.steps
    rows = []
    on_loopback = all(record.settings.capture.interface == _LOOPBACK for record in records)
    for name, span in _SPANS.items():
        if name in NETWORK_SPANS and not on_loopback:
            continue
        taken_s = {place: median(map(span.seconds, each)) for place, each in steps.items()}
        least_s = max(0.0, min(taken_s.values(), default=0.0))
        rate = median(map(span.bytes_per_s, yardsticks))
        for place, each in steps.items():
            content_bytes = median(map(span.content_bytes, each))
            plain_s = content_bytes / rate
            budget_s = _ABOVE_BYTES * plain_s + _ABOVE_LEAST * least_s + _ABOVE_S
            quick_s = quick(map(span.seconds, each))
            sizes = (taken_s[place], quick_s, content_bytes, plain_s, budget_s)
            rows.append(BudgetRow(*place, name, *sizes))
    return rows
