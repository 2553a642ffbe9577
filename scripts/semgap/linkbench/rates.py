"""From samples to what the report shows: medians, and ratios between contenders of one round."""

import math
from collections.abc import Sequence
from statistics import median

import msgspec
import numpy as np
import pandas as pd
import scipy.stats

from semgap.linkbench.contenders.known import CEILING
from semgap.linkbench.samples import TimeSample, WireSample


class GoodputRow(msgspec.Struct, frozen=True):
    """Goodput of one contender at one message size."""

    contender: str
    payload_bytes: int
    rounds: int
    median_bytes_per_s: float
    min_bytes_per_s: float
    max_bytes_per_s: float
    of_ceiling: float  # goodput ÷ the ceiling's in the same round, geometric mean of the rounds
    # of_ceiling_low, of_ceiling_high: its 95 % interval; empty for one round
    of_ceiling_low: float | None
    of_ceiling_high: float | None
    captured_bytes_per_s: float | None  # median goodput while tcpdump captured the interface
    # captured bytes of both directions ÷ content, the largest of the rounds. Both are empty at
    # sizes that were not captured
    wire_of_payload: float | None


class RoundTripRow(msgspec.Struct, frozen=True):
    """Round trips of one contender: one number there, ``reply_bytes`` back."""

    contender: str
    reply_bytes: int
    n: int
    median_s: float
    p99_s: float
    of_ceiling: float  # a round's median divided by the ceiling's, geometric mean of the rounds
    # of_ceiling_low, of_ceiling_high: its 95 % interval; empty for one round
    of_ceiling_low: float | None
    of_ceiling_high: float | None


def goodput_rows(
    times: Sequence[TimeSample], wire: Sequence[WireSample], contenders: Sequence[str]
) -> list[GoodputRow]:
    """One row for each contender, in the given order, and message size."""
    frame = pd.DataFrame([msgspec.structs.asdict(sample) for sample in times])
    frame = frame[frame.payload_bytes > 0].copy()
    frame["goodput"] = frame.payload_bytes / frame.seconds
    per_round = frame.set_index(["payload_bytes", "round"])
    ceiling = per_round[per_round.contender == CEILING].goodput
    frame["of_ceiling"] = (per_round.goodput / ceiling.reindex(per_round.index)).to_numpy()
    rows = []
    for (contender, size_bytes), group in frame.groupby(["contender", "payload_bytes"]):
        captured = [
            each
            for each in wire
            if each.contender == contender and each.payload_bytes == size_bytes
        ]
        ratio, low, high = _with_interval(group.of_ceiling)
        rows.append(
            GoodputRow(
                contender=str(contender),
                payload_bytes=int(size_bytes),
                rounds=len(group),
                median_bytes_per_s=float(group.goodput.median()),
                min_bytes_per_s=float(group.goodput.min()),
                max_bytes_per_s=float(group.goodput.max()),
                of_ceiling=ratio,
                of_ceiling_low=low,
                of_ceiling_high=high,
                captured_bytes_per_s=_median(
                    [each.payload_bytes / each.seconds for each in captured]
                ),
                wire_of_payload=max(
                    (
                        each.wire_bytes / (each.payload_bytes + each.reply_bytes)
                        for each in captured
                    ),
                    default=None,
                ),
            )
        )
    return sorted(rows, key=lambda row: (contenders.index(row.contender), row.payload_bytes))


def captured_goodput(rows: Sequence[GoodputRow], contender: str) -> float | None:
    """Goodput in bytes/s of the largest messages that were captured; None where none was."""
    captured = [row for row in rows if row.contender == contender and row.captured_bytes_per_s]
    return max(captured, key=_size).captured_bytes_per_s if captured else None


def uncaptured_goodput(rows: Sequence[GoodputRow], contender: str) -> float:
    """Goodput in bytes/s of the largest messages while nothing was captured."""
    return max((row for row in rows if row.contender == contender), key=_size).median_bytes_per_s


def round_trip_rows(times: Sequence[TimeSample]) -> list[RoundTripRow]:
    """One row for each contender."""
    frame = pd.DataFrame([msgspec.structs.asdict(sample) for sample in times])
    frame = frame[frame.payload_bytes == 0]
    medians = frame.groupby(["contender", "round"]).seconds.median()
    ceiling = medians[CEILING]
    return [
        RoundTripRow(
            contender=str(contender),
            reply_bytes=int(group.reply_bytes.iloc[0]),
            n=len(group),
            median_s=float(group.seconds.median()),
            p99_s=float(group.seconds.quantile(0.99)),
            of_ceiling=ratio,
            of_ceiling_low=low,
            of_ceiling_high=high,
        )
        for contender, group in frame.groupby("contender")
        for ratio, low, high in (_with_interval(medians[contender] / ceiling),)
    ]


def settled(times: Sequence[TimeSample], within: float) -> bool:
    """Whether each ratio's 95 % interval lies within a share of the ratio itself.

    Args:
        within: the share, of 1.
    """
    contenders = sorted({sample.contender for sample in times})
    goodput = goodput_rows(times, [], contenders)
    ratios = [(row.of_ceiling, row.of_ceiling_low, row.of_ceiling_high) for row in goodput]
    ratios += [
        (row.of_ceiling, row.of_ceiling_low, row.of_ceiling_high) for row in round_trip_rows(times)
    ]
    return all(
        low is not None
        and high is not None
        and ratio * (1 - within) <= low <= high <= ratio * (1 + within)
        for ratio, low, high in ratios
    )


def _with_interval(ratios: pd.Series) -> tuple[float, float | None, float | None]:
    """Geometric mean and its 95 % interval, by Student's t on the logarithms."""
    logarithms = np.log(ratios.to_numpy())
    mean = float(logarithms.mean())
    if logarithms.size < 2:
        return math.exp(mean), None, None
    half = float(scipy.stats.t.ppf(0.975, logarithms.size - 1) * scipy.stats.sem(logarithms))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _size(row: GoodputRow) -> int:
    return row.payload_bytes
