"""What the link benchmark records."""

import msgspec

from semgap.measurement.run_record import Machine


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
