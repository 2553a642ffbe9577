"""When the runs were made: one at a time, and what is compared close together."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from semgap.measurement.run_record import RunRecord

# A clock that NTP keeps right is not set by so much at once.
_SAME_BOOT_S = 2
# Two clocks say when a run began and ended.
_CLOCK_SLACK_S = 0.01
# Between two runs of a round: the next job starts, or other jobs of the workflow take their turn.
_PAUSE_S = 300


def of_one_boot(one: RunRecord, other: RunRecord) -> bool:
    """Whether the monotonic clocks of two runs can be compared."""
    return abs(one.boot_s - other.boot_s) <= _SAME_BOOT_S


def overlapping(records: Sequence[RunRecord]) -> Iterator[tuple[RunRecord, RunRecord]]:
    """Neighbours in time of which the second began before the first had ended."""
    for before, after in pairwise(sorted(records, key=lambda record: record.started_unix_ns)):
        if of_one_boot(before, after) and after.begin_s < before.end_s - _CLOCK_SLACK_S:
            yield before, after


def order_text(records: Sequence[RunRecord]) -> str:
    """How the repeats of the modes follow each other, as far as the records show it."""
    if len(_rounds(records)) == 1:
        return "in one round"
    if any(_torn(one, records) for one in _rounds(records).values()):
        return "not interleaved as planned (see the warnings)"
    return "interleaved: each mode once, then all again"


def apart(records: Sequence[RunRecord]) -> Iterator[str]:
    """A sentence for each round whose runs were not measured close together."""
    for repeat, runs in _rounds(records).items():
        first, last = runs[0], runs[-1]
        if (between := _torn(runs, records)) is not None:
            yield (
                f"round {repeat} was not measured together: between {first.name} and {last.name} "
                f"came {between.name}, so ratios of this round compare different times"
            )
        for before, after in pairwise(runs):
            pause_s = after.begin_s - before.end_s
            if of_one_boot(before, after) and pause_s > _PAUSE_S + (before.end_s - before.begin_s):
                yield (
                    f"round {repeat} was not measured together: {after.name} began "
                    f"{pause_s / 60:.0f} min after {before.name} had ended"
                )


def _rounds(records: Sequence[RunRecord]) -> dict[int, list[RunRecord]]:
    """Runs by their repeat, each list in the order in which they were made."""
    rounds: dict[int, list[RunRecord]] = {}
    for record in sorted(records, key=lambda record: record.started_unix_ns):
        rounds.setdefault(record.repeat, []).append(record)
    return dict(sorted(rounds.items()))


def _torn(runs: Sequence[RunRecord], records: Sequence[RunRecord]) -> RunRecord | None:
    """A run of another round that was made between the first and the last of a round."""
    begin_ns, end_ns = runs[0].started_unix_ns, runs[-1].started_unix_ns
    others = (
        one
        for one in records
        if one.repeat != runs[0].repeat and begin_ns < one.started_unix_ns < end_ns
    )
    return next(others, None)
