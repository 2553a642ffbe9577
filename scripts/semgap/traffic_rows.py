"""Counted bytes of a run, as the rows of its traffic file."""

from __future__ import annotations

import msgspec

UP = "up"
DOWN = "down"
DIRECTIONS = (UP, DOWN)

TCPDUMP = "tcpdump"
KERNEL = "kernel"


class TrafficRow(msgspec.Struct, frozen=True):
    """What crossed in one direction during one phase.

    Attributes:
        direction: up (client to worker) or down.
        source: tcpdump, or kernel (its counters of the client's sockets) where nothing was
            captured.
        payload_bytes: TCP payload, each byte once.
        retransmitted_bytes: TCP payload that was sent again; empty from the kernel.
        frame_bytes: whole frames as captured, headers included; empty from the kernel.
        packets: captured packets; empty from the kernel.
    """

    phase: str
    direction: str
    source: str
    payload_bytes: int
    retransmitted_bytes: int | None
    frame_bytes: int | None
    packets: int | None
