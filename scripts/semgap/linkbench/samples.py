"""What the link benchmark records."""

from __future__ import annotations

import msgspec


class TimeSample(msgspec.Struct, frozen=True):
    """One timed exchange, or the mean of a round's exchanges of that size.

    Attributes:
        payload_bytes: bytes moved to the peer; 0 for a round trip, whose request is one number.
        reply_bytes: bytes of the reply.
        round: contenders take turns within a round.
        seconds: from handing the payload over until the reply was there.
    """

    contender: str
    payload_bytes: int
    reply_bytes: int
    round: int
    seconds: float


class WireSample(msgspec.Struct, frozen=True):
    """Some exchanges in a row that tcpdump saw.

    Attributes:
        payload_bytes, reply_bytes: content of each.
        seconds: what one took under the capture, mean.
        wire_bytes: TCP payload of both directions, each byte once, by exchange.
    """

    contender: str
    payload_bytes: int
    reply_bytes: int
    round: int
    seconds: float
    wire_bytes: float


class LinkFacts(msgspec.Struct, frozen=True):
    """Where the link was measured, and what another tool says of it.

    Attributes:
        contenders: in the order of the report.
        congestion_control: of the sockets that do not leave it to the system.
        system_congestion_control: of those that do.
        iperf3_bytes_per_s: goodput by iperf3, a sample a round; empty where it is not installed.
        no_wire_samples: why nothing was captured; empty if it was.
    """

    contenders: tuple[str, ...]
    host: str
    cpu: str
    cores: int
    kernel: str
    device: str
    torch: str
    congestion_control: str
    system_congestion_control: str
    iperf3_bytes_per_s: tuple[float, ...]
    no_wire_samples: str
