"""traffic.md: the counts of the same bytes side by side, and what a real link would carry."""

import math
from collections.abc import Iterable, Mapping
from statistics import fmean

from semgap.analysis.numbers.counts import (
    BETWEEN_COUNTS_BYTES,
    FRAMING_BYTES_PER_MESSAGE,
    FRAMING_SHARE,
    CountRow,
)
from semgap.analysis.numbers.numbers import Numbers
from semgap.analysis.reports.columns import ABSENT
from semgap.plumbing.markup import escaped_markdown, markdown_table
from semgap.policy import Label

_PARTS = ("weights", "kv_cache", "tokens", "logits", "encoded", "framing")
# IPv4 and TCP with time stamps; Ethernet's header, check sum, preamble and gap between frames.
_PACKET_HEADERS_BYTES = 20 + 32
_FRAME_BYTES = 14 + 4 + 8 + 12
_MTUS = (1500, 9000)


def traffic_markdown(numbers: Numbers) -> str:
    """What crossed in each phase of each mode, as means over the repeats, and notes."""
    rows, labels = numbers.counts, numbers.labels
    places = dict.fromkeys((row.phase, row.mode, row.direction) for row in rows)
    groups = [
        [row for row in rows if (row.phase, row.mode, row.direction) == place]
        for phase in ("setup", "prefill", "decode")
        for mode in labels
        for place in places
        if place[:2] == (phase, mode)
    ]
    expected = markdown_table(
        (
            "Phase",
            "Mode",
            "Direction",
            "Weights",
            "KV cache",
            "Tokens",
            "Logits",
            "Encoded",
            "Framing",
            "Sum",
        ),
        [
            [
                *_names(group[0], labels),
                *(_mean([getattr(row, f"{name}_bytes") for row in group]) for name in _PARTS),
                _mean([row.expected_bytes for row in group]),
            ]
            for group in groups
        ],
        text_columns=3,
    )
    counts = markdown_table(
        ("Phase", "Mode", "Direction", "Expected", "Captured", "Sockets", "Farthest apart"),
        [
            [
                *_names(group[0], labels),
                _mean([row.expected_bytes for row in group]),
                _mean([row.captured_bytes for row in group]),
                _mean([row.counted_bytes for row in group]),
                max((_apart(row) for row in group), key=lambda apart: float(apart.split()[0])),
            ]
            for group in groups
        ],
        text_columns=3,
    )
    link = markdown_table(
        (
            *("Phase", "Mode", "Direction", "Messages", "Segments here", "Sent again"),
            *(f"Wire at MTU {mtu}" for mtu in _MTUS),
        ),
        [
            [
                *_names(group[0], labels),
                _mean([row.messages for row in group]),
                _mean([row.segments for row in group]),
                _mean([row.retransmitted_bytes for row in group]),
                *(_mean([ethernet_bytes(_best(row), mtu) for row in group]) for mtu in _MTUS),
            ]
            for group in groups
        ],
        text_columns=3,
    )
    return f"""\
# Traffic: three counts of the same bytes

Bytes, mean of the repeats; up is from client to worker. counts.csv has each repeat.

## What must cross

By arithmetic on each mode's placements and the model's shape; where a mode encodes, what its client
made of that crosses instead. Framing is what the transport adds to each message and tensor, as a
capture showed it once.

{expected}

## What crossed

TCP payload, each byte once: *captured* by tcpdump, and counted by the *sockets* of the client
(`TCP_INFO`: bytes acknowledged and received). *Farthest apart* is the largest difference of two of
the three in one repeat. Captured and counted bytes may be {BETWEEN_COUNTS_BYTES} apart, and both
{FRAMING_BYTES_PER_MESSAGE} a message and {FRAMING_SHARE:.0%} of the framing from the expected ones;
beyond that no table is built. The content of each class is exact.

{counts}

## On a link

One step is one request and one reply: a round trip. Loopback carries segments of up to 64 KB, so a
real link would show more packets and headers. *Wire* models them: payload in full packets, each
with {_PACKET_HEADERS_BYTES} bytes of IPv4 and TCP headers and {_FRAME_BYTES} of Ethernet; no
acknowledgements.

{link}
"""


def ethernet_bytes(payload_bytes: int, mtu: int) -> int:
    """What Ethernet carries for a TCP payload, acknowledgements left out."""
    packets = math.ceil(payload_bytes / (mtu - _PACKET_HEADERS_BYTES))
    return payload_bytes + packets * (_PACKET_HEADERS_BYTES + _FRAME_BYTES)


def _names(row: CountRow, labels: Mapping[str, Label]) -> list[str]:
    return [row.phase.capitalize(), escaped_markdown(labels[row.mode].text), row.direction]


def _mean(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{fmean(known):,.0f}" if known else ABSENT


def _apart(row: CountRow) -> str:
    sizes = row.taken.values()
    return str(max(sizes) - min(sizes))


def _best(row: CountRow) -> int:
    """What was captured, or else counted, or else what must have crossed."""
    for size in (row.captured_bytes, row.counted_bytes):
        if size is not None:
            return size
    return row.expected_bytes
