"""Claims against data: what was seen, and whether it is within a claim's bounds."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

import msgspec

from semgap.analysis.claims import AnswersClaim, BytesClaim, Claim, GrowthClaim, RatioClaim
from semgap.analysis.numbers.comparison import BASELINE_MODE
from semgap.analysis.numbers.summary import RepeatRow
from semgap.measurement.run_record import RunRecord
from semgap.model.manifest import Manifest
from semgap.plumbing.statistics import mean_ratio

_EVERY_PHASE = ""


class Verdict(StrEnum):
    """What data say of a claim."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOT_SUPPORTED = "NOT SUPPORTED BY THIS DATA"
    NOT_APPLICABLE = "NOT APPLICABLE"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on what has several: NOT_SUPPORTED if it has none."""
    return min(
        verdicts,
        key=(Verdict.FAIL, Verdict.NOT_SUPPORTED, Verdict.PASS, Verdict.NOT_APPLICABLE).index,
        default=Verdict.NOT_SUPPORTED,
    )


class OutcomeRow(msgspec.Struct, frozen=True):
    """A claim, in one phase if it speaks of phases, and what data say of it."""

    claim: str
    sentence: str
    phase: str | None
    what: str | None  # the number that the bounds are for; None where there is none
    at_least: float | None
    at_most: float | None
    seen: float | None
    # low, high: 95 % interval where a number scatters, else the range of what was seen
    low: float | None
    high: float | None
    n: int  # repeats or rounds
    verdict: Verdict
    why: str | None  # why nothing was seen
    source: str  # the file that the number comes from


@dataclass(frozen=True)
class Measured:
    """What claims are held against."""

    rows: Sequence[RepeatRow]
    records: Sequence[RunRecord]
    manifest: Manifest

    @functools.cached_property
    def _values(self) -> Mapping[tuple[str, str, str], Mapping[int, float]]:
        found: dict[tuple[str, str, str], dict[int, float]] = {}
        for row in self.rows:
            found.setdefault((row.phase, row.mode, row.quantity), {})[row.repeat] = row.value
        return found

    def values(self, phase: str, mode: str, quantity: str) -> Mapping[int, float]:
        """A quantity by repeat; empty where it was not measured."""
        return self._values.get((phase, mode, quantity), {})


@dataclass(frozen=True)
class _Seen:
    what: str | None
    value: float | None = None
    # What must be within the bounds: the interval of a number that scatters, else each number.
    intervals: Sequence[tuple[float, float]] = ()
    n: int = 0
    why: str | None = None
    at_least: float | None = None  # a bound that follows from the model's shape


def judge(claims: Sequence[Claim], measured: Measured) -> list[OutcomeRow]:
    """Hold each claim against the data, phase by phase."""
    return [
        _outcome(claim, phase, seen)
        for claim in claims
        for why in (_not_applicable(claim, measured),)
        for phase, seen in (
            [(_EVERY_PHASE, _Seen(None, why=why))] if why else _see(claim, measured)
        )
    ]


def _not_applicable(claim: Claim, measured: Measured) -> str | None:
    """Why a claim says nothing of what was measured, if it does not."""
    if measured.manifest.parameters < claim.min_parameters:
        return "it speaks of larger models"
    if claim.on_gpu and not measured.records[0].computed_on.machine.gpu:
        return "it speaks of a GPU"
    return None


def _outcome(claim: Claim, phase: str, seen: _Seen) -> OutcomeRow:
    at_least = claim.at_least if seen.at_least is None else seen.at_least
    verdicts = [verdict(one, at_least, claim.at_most) for one in seen.intervals]
    return OutcomeRow(
        claim=claim.id,
        sentence=claim.sentence,
        phase=phase or None,
        what=seen.what,
        at_least=at_least,
        at_most=claim.at_most,
        seen=seen.value,
        low=min((low for low, _high in seen.intervals), default=None),
        high=max((high for _low, high in seen.intervals), default=None),
        n=seen.n,
        verdict=worst(verdicts) if seen.what else Verdict.NOT_APPLICABLE,
        why=seen.why,
        source="runs/" if isinstance(claim, GrowthClaim | AnswersClaim) else "repeats.csv",
    )


def verdict(
    interval: tuple[float, float], at_least: float | None, at_most: float | None
) -> Verdict:
    """PASS if all of an interval is within the bounds, FAIL if all of it is outside one of them."""
    low, high = interval
    if (at_least is not None and high < at_least) or (at_most is not None and low > at_most):
        return Verdict.FAIL
    if (at_least is None or low >= at_least) and (at_most is None or high <= at_most):
        return Verdict.PASS
    return Verdict.NOT_SUPPORTED


def _see(claim: Claim, measured: Measured) -> Iterator[tuple[str, _Seen]]:
    """What the data show of a claim's number, phase by phase."""
    match claim:
        case BytesClaim():
            return _bytes(claim, measured)
        case RatioClaim():
            return _ratio(claim, measured)
        case GrowthClaim():
            return _growth(claim, measured)
        case AnswersClaim():
            return _answers(measured)


def _bytes(claim: BytesClaim, measured: Measured) -> Iterator[tuple[str, _Seen]]:
    for phase in claim.phases:
        own = list(measured.values(phase, claim.mode, "network_bytes").values())
        if claim.over is None:
            yield phase, _each(f"bytes of {claim.mode}", own)
            continue
        other = list(measured.values(phase, claim.over, "network_bytes").values())
        ratios = [one / two for one in own for two in other if two]
        what = f"bytes of {claim.mode} ÷ those of {claim.over}"
        seen = _each(what, ratios, n=min(len(own), len(other)))
        predicted = [
            measured.values(phase, mode, "expected_network_bytes")
            for mode in (claim.mode, claim.over)
        ]
        if all(predicted):
            above, below = (next(iter(sizes.values())) for sizes in predicted)
            at_least = max(claim.at_least or 0.0, claim.min_of_predicted * above / below)
            seen = replace(seen, at_least=at_least)
        yield phase, seen


def _ratio(claim: RatioClaim, measured: Measured) -> Iterator[tuple[str, _Seen]]:
    what = f"{claim.quantity} of {claim.mode} ÷ that of {claim.over}"
    for phase in claim.phases:
        own, other = (
            measured.values(phase, mode, claim.quantity) for mode in (claim.mode, claim.over)
        )
        rounds = sorted(own.keys() & other.keys())
        pairs = [own[one] for one in rounds], [other[one] for one in rounds]
        if not rounds or min(min(values) for values in pairs) <= 0:
            yield phase, _Seen(what, why="it was not measured")
            continue
        found = mean_ratio(*pairs)
        if found.low is None or found.high is None:
            yield phase, _Seen(what, found.mean, (), 1, "one repeat has no interval")
        else:
            yield phase, _Seen(what, found.mean, [(found.low, found.high)], len(rounds))


def _growth(claim: GrowthClaim, measured: Measured) -> Iterator[tuple[str, _Seen]]:
    prompt_tokens = measured.records[0].prompt_tokens
    before, after = (measured.manifest.kv_cache_bytes(prompt_tokens + more) for more in (0, 1))
    runs = [record for record in measured.records if record.mode == claim.mode]
    what = f"bytes that a step of {claim.mode} moves more than the last ÷ KV cache of one token"
    if after == before:
        yield "decode", _Seen(what, why="this model's cache does not grow")
        return
    steps = [phase.steps for run in runs for phase in run.phases if phase.name == "decode"]
    grown = [
        (
            second.total_up_bytes
            + second.total_down_bytes
            - first.total_up_bytes
            - first.total_down_bytes
        )
        / (after - before)
        for of_run in steps
        for first, second in pairwise(of_run)
    ]
    yield "decode", _each(what, grown, n=len(runs))


def _answers(measured: Measured) -> Iterator[tuple[str, _Seen]]:
    (baseline, *_) = (one for one in measured.records if one.mode == BASELINE_MODE)
    differing = [
        sum(one != other for one, other in zip(record.token_ids, baseline.token_ids, strict=True))
        for record in measured.records
    ]
    yield _EVERY_PHASE, _each("tokens of a run that are not local's", differing)


def _each(what: str, values: Sequence[float], n: int | None = None) -> _Seen:
    """Numbers that do not scatter."""
    if not values:
        return _Seen(what, why="it was not measured")
    n = len(values) if n is None else n
    return _Seen(what, sum(values) / len(values), [(value, value) for value in values], n)
