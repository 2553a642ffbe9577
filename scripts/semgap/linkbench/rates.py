"""What the link benchmark records, and what it shows: medians, ratios of one round."""

from collections.abc import Sequence
from statistics import median

import msgspec
import pandas as pd

from semgap.linkbench.contenders import CEILING
from semgap.plumbing.provenance import Machine
from semgap.plumbing.statistics import mean_ratio


class TimeSample(msgspec.Struct, frozen=True):
    """One timed exchange, or the mean of a round's exchanges of that size."""

    contender: str
    payload_bytes: int  # bytes moved to the peer; 0 for a round trip, whose request is one number
    reply_bytes: int
    round: int  # contenders take turns within a round
    seconds: float  # from handing the payload over until the reply was there


class WireSample(msgspec.Struct, frozen=True):
    """Some exchanges in a row that tcpdump saw."""

    contender: str
    payload_bytes: int
    reply_bytes: int
    round: int
    seconds: float  # what one took under the capture, mean
    wire_bytes: float  # TCP payload of both directions, each byte once, by exchange


class LinkFacts(msgspec.Struct, frozen=True):
    """Where the link was measured, and what another tool says of it."""

    contenders: tuple[str, ...]  # in the order of the report
    host: str
    machine: Machine
    device: str
    torch: str
    congestion_control: str  # of the sockets that do not leave it to the system
    system_congestion_control: str  # of those that do
    iperf3_bytes_per_s: tuple[float, ...]  # one sample per round; empty where it is not installed
    no_wire_samples: str  # why nothing was captured; empty if it was


class Compared(msgspec.Struct, frozen=True):
    """A contender beside the ceiling: the ratio of one round, geometric mean of the rounds."""

    contender: str
    of_ceiling: float
    of_ceiling_low: float | None  # its 95 % interval; empty for one round
    of_ceiling_high: float | None


class GoodputRow(Compared, frozen=True):
    """Goodput of one contender at one message size."""

    payload_bytes: int
    rounds: int
    median_bytes_per_s: float
    min_bytes_per_s: float
    max_bytes_per_s: float
    # Both are empty at sizes that were not captured: median goodput while tcpdump captured the
    # interface, and captured bytes of both directions ÷ content, the largest of the rounds.
    captured_bytes_per_s: float | None
    wire_of_payload: float | None


class RoundTripRow(Compared, frozen=True):
    """Round trips of one contender: one number there, ``reply_bytes`` back."""

    reply_bytes: int
    n: int
    median_s: float
    p99_s: float


def goodput_rows(
    times: Sequence[TimeSample], wire: Sequence[WireSample], contenders: Sequence[str]
) -> list[GoodputRow]:
    """One row for each contender, in the given order, and message size."""
    frame = _frame(times)
    frame = (
        frame[frame.payload_bytes > 0]
        .set_index(["contender", "payload_bytes", "round"])
        .sort_index()
    )
    goodput = frame.index.get_level_values("payload_bytes") / frame.seconds
    rows = []
    for (contender, size_bytes), rates in goodput.groupby(["contender", "payload_bytes"]):
        which = (contender, size_bytes)
        captured = [one for one in wire if (one.contender, one.payload_bytes) == which]
        of_wire = [one.wire_bytes / (one.payload_bytes + one.reply_bytes) for one in captured]
        while_captured = [one.payload_bytes / one.seconds for one in captured]
        row = GoodputRow(
            contender,
            *_compared(rates.droplevel([0, 1]), goodput[CEILING, size_bytes]),
            payload_bytes=size_bytes,
            rounds=len(rates),
            median_bytes_per_s=float(rates.median()),
            min_bytes_per_s=float(rates.min()),
            max_bytes_per_s=float(rates.max()),
            captured_bytes_per_s=median(while_captured) if captured else None,
            wire_of_payload=max(of_wire, default=None),
        )
        rows.append(row)
    return sorted(rows, key=lambda row: (contenders.index(row.contender), row.payload_bytes))


def round_trip_rows(times: Sequence[TimeSample]) -> list[RoundTripRow]:
    """One row for each contender."""
    frame = _frame(times)
    frame = frame[frame.payload_bytes == 0]
    medians = frame.groupby(["contender", "round"]).seconds.median()
    return [
        RoundTripRow(
            contender,
            *_compared(medians[contender], medians[CEILING]),
            reply_bytes=int(group.reply_bytes.iloc[0]),
            n=len(group),
            median_s=float(group.seconds.median()),
            p99_s=float(group.seconds.quantile(0.99)),
        )
        for contender, group in frame.groupby("contender")
    ]


def ceiling_of(rows: Sequence[GoodputRow], captured: bool) -> float | None:
    """The ceiling's goodput in bytes/s with its largest messages; None where none was captured.

    Args:
        captured: whether it is to be that under a capture.
    """
    rates = {
        row.payload_bytes: row.captured_bytes_per_s if captured else row.median_bytes_per_s
        for row in rows
        if row.contender == CEILING and (row.captured_bytes_per_s or not captured)
    }
    return rates[max(rates)] if rates else None


def known_within(times: Sequence[TimeSample], within: float) -> bool:
    """Whether each ratio's 95 % interval lies within a share, of 1, of the ratio itself."""
    contenders = sorted({sample.contender for sample in times})
    return all(
        row.of_ceiling_low is not None
        and row.of_ceiling_high is not None
        and row.of_ceiling * (1 - within) <= row.of_ceiling_low
        and row.of_ceiling_high <= row.of_ceiling * (1 + within)
        for row in (*goodput_rows(times, [], contenders), *round_trip_rows(times))
    )


def _frame(times: Sequence[TimeSample]) -> pd.DataFrame:
    return pd.DataFrame([msgspec.structs.asdict(sample) for sample in times])


def _compared(own: pd.Series, ceiling: pd.Series) -> tuple[float, float | None, float | None]:
    """Geometric mean of the ratios by round, and its 95 % interval."""
    rounds = own.index.intersection(ceiling.index)
    found = mean_ratio(own[rounds].tolist(), ceiling[rounds].tolist())
    return found.mean, found.low, found.high
