"""Whether all modes compute equally fast: they do the same work."""

from collections.abc import Iterable
from statistics import fmean

import msgspec

from semgap.analysis.numbers.comparison import BASELINE_MODE, by_repeat
from semgap.analysis.numbers.summary import RepeatRow
from semgap.plumbing.statistics import mean_ratio

# A difference that is real and below this changes no conclusion.
_WORTH_SAYING = 1.05


class SameWorkRow(msgspec.Struct, frozen=True):
    """How long a mode computed in a phase ÷ how long ``local`` did in the same round."""

    phase: str
    mode: str
    rounds: int
    ratio: float  # geometric mean over the rounds
    # ratio_low, ratio_high: 95 % interval, Student's t of the logarithms; None for one round
    ratio_low: float | None
    ratio_high: float | None
    latency_s: float  # mean over the repeats
    latency_at_baseline_s: float  # the same, had it computed as long as local

    @property
    def differs(self) -> bool:
        """Whether the difference is beyond the scatter, and large enough to be said."""
        if self.ratio_low is None or self.ratio_high is None:
            return False
        beyond = self.ratio_low > 1 or self.ratio_high < 1
        return beyond and max(self.ratio, 1 / self.ratio) > _WORTH_SAYING


def same_work_rows(rows: Iterable[RepeatRow]) -> list[SameWorkRow]:
    """Compare each mode's forward passes with those of ``local``."""
    rows = list(rows)
    computing, latencies = by_repeat(rows, "compute_s"), by_repeat(rows, "latency_s")
    found = []
    for (phase, mode), own in computing.items():
        other = computing.get((phase, BASELINE_MODE))
        if other is None or mode == BASELINE_MODE:
            continue
        rounds = sorted(own.keys() & other.keys())
        seen = mean_ratio([own[one] for one in rounds], [other[one] for one in rounds])
        latency_s = fmean(latencies[phase, mode].values())
        more_s = fmean(own.values()) - fmean(other.values())
        found.append(
            SameWorkRow(
                *(phase, mode, len(rounds), seen.mean, seen.low, seen.high),
                latency_s=latency_s,
                latency_at_baseline_s=latency_s - more_s,
            )
        )
    return found
