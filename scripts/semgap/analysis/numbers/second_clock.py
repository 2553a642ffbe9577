"""The second clock: when a step's request and reply were on the wire, by the capture alone."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from statistics import median

import msgspec
from msgspec.structs import replace

from semgap.inference.steps import StepRecord
from semgap.measurement.run_record import PhaseRecord, RunRecord
from semgap.pcap.turns import DOWN, UP, Turn

# What two clocks may differ by: reading them, waking up.
_APART_S = 50e-6
_APART_SHARE = 0.01
# How far above the mode that takes least: in honest runs, quiet and loaded, few steps scatter so.
_ABOVE_LEAST = 3


@dataclass(frozen=True)
class Exchange:
    """A request and its reply, as packets show them; times since 1970 UTC."""

    # begin_unix_ns, requested_unix_ns: first and last packet of the request
    begin_unix_ns: int
    requested_unix_ns: int
    # replying_unix_ns, end_unix_ns: first and last packet of the reply
    replying_unix_ns: int
    end_unix_ns: int
    up_bytes: int
    down_bytes: int


@dataclass(frozen=True)
class SeenStep:
    """A step as the client timed it, and its exchanges: seconds since the step began.

    Of several exchanges, the begin is the first one's and the rest the last one's.
    """

    step: StepRecord
    begin_s: float
    requested_s: float
    replying_s: float
    end_s: float
    wire_s: float  # of each exchange, from the request's first packet to the reply's last

    @property
    def unnamed_s(self) -> float:
        """What lies before the first and after the last packet, without placing and serialising."""
        return self.step.latency_s - self.step.placement_s - self.step.serialise_s - self.wire_s


def exchanges_of(turns: Iterable[Turn]) -> list[Exchange]:
    """All exchanges of a run's session, in the order of time."""
    return [
        Exchange(
            *(up.begin_unix_ns, up.end_unix_ns, down.begin_unix_ns, down.end_unix_ns),
            *(up.payload_bytes, down.payload_bytes),
        )
        for up, down in pairwise(turns)
        if (up.direction, down.direction) == (UP, DOWN)
    ]


def exchanges_in(
    begin_unix_ns: int, end_unix_ns: int, exchanges: Iterable[Exchange]
) -> list[Exchange]:
    """Those that began within a window."""
    return [one for one in exchanges if begin_unix_ns <= one.begin_unix_ns < end_unix_ns]


def seen_steps(phase: PhaseRecord, exchanges: Sequence[Exchange]) -> list[SeenStep]:
    """The steps of a phase beside the exchanges that began within them."""
    # The wall clock may run at another rate for a while.
    rate = (phase.end_ns - phase.begin_ns) / (phase.end_unix_ns - phase.begin_unix_ns)

    def since(step: StepRecord, unix_ns: int) -> float:
        monotonic_ns = phase.begin_ns + rate * (unix_ns - phase.begin_unix_ns)
        return (monotonic_ns - step.begin_ns) / 1e9

    found, waiting = [], list(exchanges)
    for step, following in zip_longest(phase.steps, phase.steps[1:]):
        count = step.requests
        if len(exchanges) < phase.requests and following is not None:
            count = sum(since(following, one.begin_unix_ns) < 0 for one in waiting)
        own, waiting = waiting[:count], waiting[count:]
        ends = ((since(step, one.begin_unix_ns), since(step, one.end_unix_ns)) for one in own)
        found.append(
            SeenStep(
                step,
                since(step, own[0].begin_unix_ns),
                since(step, own[-1].requested_unix_ns),
                since(step, own[-1].replying_unix_ns),
                since(step, own[-1].end_unix_ns),
                wire_s=math.fsum(end_s - begin_s for begin_s, end_s in ends),
            )
        )
    return found


class ClockRow(msgspec.Struct, frozen=True):
    """Both clocks for one phase of one mode: medians over the steps of all repeats.

    Delays only add, and the quickest quarter of the steps has few: what is in each of them is no
    matter of chance.
    """

    phase: str
    mode: str
    steps: int
    latency_s: float  # by the client's clock
    wire_s: float  # from the request's first packet to the reply's last, by the capture
    unnamed_s: float  # the difference, without placing and serialising
    quick_unnamed_s: float  # three of four steps take no less
    allowed_s: float  # the largest difference that is expected


def quick(values: Iterable[float]) -> float:
    """What three of four values are not below; of fewer than four, the least."""
    ordered = sorted(values)
    return ordered[len(ordered) // 4]


def clock_rows(runs: Iterable[tuple[RunRecord, Sequence[Exchange]]]) -> list[ClockRow]:
    """A row for each phase of each mode whose packets were captured."""
    seen: Mapping[tuple[str, str], list[SeenStep]] = defaultdict(list)
    for record, exchanges in runs:
        for phase, steps in _by_phase(record, exchanges):
            seen[phase.name, record.mode] += steps
    unnamed = {place: median(one.unnamed_s for one in steps) for place, steps in seen.items()}
    # Waking up and entering the transport take as long in each mode.
    single = (unnamed[place] for place, steps in seen.items() if steps[0].step.requests == 1)
    own_s = max(0.0, min(single, default=0.0))
    return [
        ClockRow(
            *(phase, mode, len(steps)),
            latency_s=(latency_s := median(one.step.latency_s for one in steps)),
            wire_s=median(one.wire_s for one in steps),
            unnamed_s=unnamed[phase, mode],
            quick_unnamed_s=quick(one.unnamed_s for one in steps),
            # What is on the wire may still wait in the receiver's buffer.
            allowed_s=_APART_SHARE * latency_s
            + median(one.step.requests for one in steps) * (_APART_S + _ABOVE_LEAST * own_s)
            + median(one.end_s - one.replying_s for one in steps),
        )
        for (phase, mode), steps in seen.items()
    ]


def with_second_clock(record: RunRecord, exchanges: Sequence[Exchange]) -> RunRecord:
    """The record with the latency of each phase's exchanges among its readings."""
    wire_s = {
        phase.name: math.fsum(one.wire_s for one in steps)
        for phase, steps in _by_phase(record, exchanges)
    }
    return replace(
        record,
        phases=tuple(
            replace(
                phase,
                readings={**phase.readings, "tcpdump": {"wire_latency_s": wire_s[phase.name]}},
            )
            if phase.name in wire_s
            else phase
            for phase in record.phases
        ),
    )


def _by_phase(
    record: RunRecord, exchanges: Sequence[Exchange]
) -> Iterator[tuple[PhaseRecord, list[SeenStep]]]:
    """The steps of each phase beside their exchanges; nothing of records without a second clock."""
    for phase in record.phases:
        found = exchanges_in(phase.begin_unix_ns, phase.end_unix_ns, exchanges)
        complete = phase.round_trips <= len(found) <= phase.requests
        if found and complete and phase.steps[0].begin_ns:
            yield phase, seen_steps(phase, found)
