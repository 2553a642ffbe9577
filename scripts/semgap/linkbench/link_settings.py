"""How the link is measured."""

from __future__ import annotations

import msgspec


class LinkSettings(msgspec.Struct, frozen=True):
    """How the link between client and worker is measured.

    Attributes:
        host: address of this machine that all contenders use
        interface: the network interface behind that address
        device: where the transports deliver what they move (cpu, cuda, cuda:N)
        max_message_bytes: the largest message
        rounds: how often each contender sends each size
        round_trips: exchanges of one number for 200 KB by each contender
    """

    host: str
    interface: str
    device: str
    max_message_bytes: int
    rounds: int
    round_trips: int
