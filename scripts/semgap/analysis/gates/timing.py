"""The gate for time: the capture's stamps, a second clock, beside the client's records."""

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, pairwise, repeat, takewhile
from typing import NamedTuple

from semgap.analysis.evidence import Run
from semgap.analysis.gates.belonging import measure_again
from semgap.analysis.numbers.budget import NETWORK_SPANS, BudgetRow
from semgap.analysis.numbers.second_clock import (
    ClockRow,
    Exchange,
    SeenStep,
    exchanges_in,
    seen_steps,
)
from semgap.errors import MeasurementError
from semgap.measurement.run_record import RunRecord
from semgap.policy import WorkerPlace

# A packet is stamped a moment after the call that sent it began.
_SLACK_S = 50e-6
# Exchanges of one kind differ in size by how numbers are encoded.
_SAME_KIND_BYTES = 16
# A difference that is so far beyond what is expected is no matter of load.
_SYSTEMATIC = 4
_SYSTEMATIC_S = 1e-3
_NEVER_NS = 1 << 62
# More than the replies to all requests that a client may have posted.
_REPLIES_AT_ONCE_BYTES = 1 << 16
# Of messages below this, more than a tenth may still be in the sockets' buffers.
_LARGE_BYTES = 64e6
_FASTER = 3
# A link whose rate is near what the machine carries without it is not what limits.
_OF_UNSHAPED = 0.8
_ABOVE_RATE = 1.05
# Of fewer, a busy machine may have delayed all.
_FEWEST_STEPS = 3
_BELOW_DELAY = 0.95
_ANOTHER_WAY = (
    "The bytes went another way, or the link was changed while it was used: delete the "
    "experiment's runs/ folder and measure again."
)


def check_exchanges(run: Run, exchanges: Sequence[Exchange]) -> None:
    """Check that a run's packets are those of the steps that it recorded, in their order.

    Raises:
        MeasurementError: names the step, or what the wire shows instead.
    """
    record = run.record
    if record.policy.worker is WorkerPlace.IN_PROCESS or not record.capture.captured:
        return
    if not record.phases[-1].steps[0].begin_ns:
        return
    for what in _contradictions(record, exchanges):
        raise MeasurementError(
            f"'{run.record_file}' and its capture tell two stories: {what}.",
            f"{measure_again(run.record_file)} If it happens again, the client's clock is read at "
            "another moment than it says.",
        )


def check_clocks(rows: Sequence[ClockRow]) -> None:
    """Check that no mode's clock loses time in nearly all of its steps, where it has some.

    Raises:
        MeasurementError: names mode, phase and both numbers.
    """
    for row in rows:
        allowed_s = _SYSTEMATIC * row.allowed_s + _SYSTEMATIC_S
        if row.steps >= _FEWEST_STEPS and row.quick_unnamed_s > allowed_s:
            raise MeasurementError(
                f"Three of four steps of {row.mode}'s {row.phase} took at least "
                f"{1e3 * row.quick_unnamed_s:.3f} ms beside placing, serialising and the network: "
                f"the client's clock says {1e3 * row.latency_s:.3f} ms, the capture "
                f"{1e3 * row.wire_s:.3f} ms, and {1e3 * row.allowed_s:.3f} ms can be explained.",
                "Something waits in the client of this mode alone, or its clock is read too early "
                "or too late. If nothing does, delete the experiment's runs/ folder and measure on "
                "a quiet machine.",
            )


def check_goodput(rows: Sequence[BudgetRow]) -> None:
    """Check that no mode's bytes crossed faster than plain sockets of this machine carry them.

    Raises:
        MeasurementError: names mode, phase and both numbers.
    """
    for row in rows:
        is_large = row.content_bytes >= _LARGE_BYTES and row.span in NETWORK_SPANS
        if is_large and _FASTER * row.taken_s < row.plain_s:
            raise MeasurementError(
                f"In a step of {row.mode}'s {row.phase}, {row.span} "
                f"{row.content_bytes / 1e6:,.0f} MB took {1e3 * row.taken_s:.3f} ms; in the same "
                f"jobs, plain sockets took {1e3 * row.plain_s:.3f} ms for as much.",
                "The bytes went another way than through the network, or the span is not what it "
                "is called: see latency.md of a run without the last change.",
            )


def check_link(record: RunRecord) -> None:
    """Check that a run's bytes crossed the link that was made for it.

    Raises:
        MeasurementError: it carried more than its rate or was faster than its delay, or has a rate
            that this machine does not reach without it.
    """
    if record.link is None or record.link_seen is None:
        return
    asked_ms, seen_ms = record.link.round_trip_ms, 1e3 * record.link_seen.least_round_trip_s
    if asked_ms is not None and seen_ms < _BELOW_DELAY * asked_ms:
        raise MeasurementError(
            f"{record.name}: over a link whose round trip takes {asked_ms:g} ms, one took "
            f"{seen_ms:.3g} ms.",
            _ANOTHER_WAY,
        )
    if record.link.rate_gbit is None:
        return
    rate = record.link.rate_gbit * 1e9 / 8
    unshaped = record.yardstick.socket_bytes_per_s if record.yardstick else math.inf
    if rate > _OF_UNSHAPED * unshaped:
        raise MeasurementError(
            f"{record.name}: plain sockets of this machine carry {8e-9 * unshaped:.3g} Gbit/s, so "
            f"a link of {record.link.rate_gbit:g} Gbit/s would show the machine, not the link.",
            "Lower server.link.rate_gbit, or measure on a faster or quieter machine.",
        )
    seen = max(record.link_seen.up_bytes_per_s, record.link_seen.down_bytes_per_s)
    if seen > _ABOVE_RATE * rate:
        raise MeasurementError(
            f"{record.name}: the link of {record.link.rate_gbit:g} Gbit/s carried "
            f"{8e-9 * seen:.3g} Gbit/s.",
            _ANOTHER_WAY,
        )


def _contradictions(record: RunRecord, exchanges: Sequence[Exchange]) -> Iterator[str]:
    for phase in record.phases:
        found = exchanges_in(phase.begin_unix_ns, phase.end_unix_ns, exchanges)
        # Requests without a reply between them are one exchange on the wire.
        if not phase.round_trips <= len(found) <= phase.requests:
            yield (
                f"the phase {phase.name} has {len(phase.steps)} steps of together {phase.requests} "
                f"requests, and {len(found)} requests were on the wire meanwhile"
            )
            return
        slack_s = _SLACK_S + phase.clock_bound_ns / 1e9 + record.clock_bound_s
        for number, seen in enumerate(seen_steps(phase, found), start=1):
            for what in _impossible(seen, slack_s):
                yield f"in the phase {phase.name}, step {number}, {what}"
    if record.policy.encoding is None:  # otherwise sizes differ with the content
        yield from _other_generations(record, exchanges)


def _impossible(seen: SeenStep, slack_s: float) -> Iterator[str]:
    """What no delay explains: a packet before what causes it, or outside of its step."""
    step = seen.step
    at_worker_s = step.placement_s + step.serialise_s + step.send_s
    handled_s = (
        step.serialise_s + step.send_s + step.host_to_device_s + step.queue_s + step.worker_s
    )
    orders = [
        ("the first packet was sent before the step began", 0.0, seen.begin_s),
        ("the last packet came after the step had ended", seen.end_s, step.latency_s),
    ]
    # Of several exchanges, the spans are sums.
    if step.requests == 1:
        orders += [
            ("the worker had the request before it was sent", seen.requested_s, at_worker_s),
            ("the reply was sent before the worker had finished", handled_s, seen.replying_s),
        ]
    for what, earlier_s, later_s in orders:
        if earlier_s > later_s + slack_s:
            yield f"{what} ({1e3 * earlier_s:.3f} ms and {1e3 * later_s:.3f} ms after its begin)"


def _other_generations(record: RunRecord, exchanges: Sequence[Exchange]) -> Iterator[str]:
    setup, prefill, decode = record.phases
    in_prefill, in_decode = (
        exchanges_in(phase.begin_unix_ns, phase.end_unix_ns, exchanges)
        for phase in (prefill, decode)
    )
    measured = _Measured(in_prefill, in_decode, len(decode.steps))
    before = exchanges_in(setup.end_unix_ns, prefill.begin_unix_ns, exchanges)
    several = prefill.requests > len(prefill.steps)
    count = _generations_of_operators if several else _generations
    steps = [
        len(decode.steps) if one.decode_steps is None else min(one.decode_steps, len(decode.steps))
        for one in record.rehearsals
    ]
    rehearsals = count(before, measured, steps)
    if rehearsals != len(steps):
        yield (
            f"it says that {len(steps)} rehearsals came before what was measured, and "
            f"{rehearsals} were on the wire"
        )
    after = count(exchanges_in(decode.end_unix_ns, _NEVER_NS, exchanges), measured, ())
    if after and not record.runs_again:
        yield (
            f"after what it calls measured, {after} more generations were on the wire: a rehearsal "
            "was recorded"
        )


class _Measured(NamedTuple):
    """The exchanges of a generation that was measured."""

    prefill: Sequence[Exchange]
    decode: Sequence[Exchange]
    decode_steps: int

    def sizes_of(self, rehearsed: Sequence[int]) -> Iterator[tuple[int, float]]:
        """Of one generation after the other, how many exchanges it has, one for each step, and
        bytes of replies.

        Args:
            rehearsed: decode steps of the first ones; the others have all.
        """
        prefill_bytes, decode_bytes = (
            sum(one.down_bytes for one in phase) for phase in (self.prefill, self.decode)
        )
        for steps in chain(rehearsed, repeat(self.decode_steps)):
            yield 1 + steps, prefill_bytes + decode_bytes * steps / self.decode_steps


def _generations(
    exchanges: Sequence[Exchange], measured: _Measured, rehearsed: Sequence[int]
) -> int:
    """How often the measured sequence of exchanges, by their sizes, is among others."""
    lengths = (length for length, _bytes in measured.sizes_of(rehearsed))
    sequence = [*measured.prefill, *measured.decode]
    found, seen, length = 0, 0, next(lengths)
    for one in exchanges:
        like = sequence[seen]
        apart = abs(one.up_bytes - like.up_bytes), abs(one.down_bytes - like.down_bytes)
        seen += max(apart) <= _SAME_KIND_BYTES
        if seen == length:
            found, seen, length = found + 1, 0, next(lengths)
    return found


def _generations_of_operators(
    exchanges: Sequence[Exchange], measured: _Measured, rehearsed: Sequence[int]
) -> int:
    """The same where a step has many exchanges, and requests without a reply between them are one:
    by the bytes of the replies, without those that carry more than logits.
    """
    sequence = [*measured.prefill, *measured.decode]
    largest = max(one.down_bytes for one in sequence) + _REPLIES_AT_ONCE_BYTES
    others_bytes = sum(one.down_bytes for one in exchanges if one.down_bytes <= largest)
    of_them_bytes = accumulate(size_bytes for _length, size_bytes in measured.sizes_of(rehearsed))
    # The nearest number: half of the next one is less than is there.
    halves = pairwise(chain([0.0], of_them_bytes))
    return sum(1 for _ in takewhile(lambda ends: sum(ends) / 2 < others_bytes, halves))
