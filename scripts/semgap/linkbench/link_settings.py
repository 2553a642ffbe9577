"""How the link is measured: the configuration's section ``link``."""

from typing import Annotated

import msgspec
from msgspec import Meta


class LinkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How transport.md measures the link between client and worker."""

    max_message_bytes: Annotated[
        int,
        Meta(
            ge=1_000_000, description="The largest message (bytes); client and each peer hold one."
        ),
    ] = 1_000_000_000
    rounds: Annotated[
        int,
        Meta(ge=1, description="How often each contender sends messages of each size, at least."),
    ] = 5
    time_budget_s: Annotated[
        float,
        Meta(
            ge=0,
            le=1_000_000,
            description="Rounds are added until the ratios to plain sockets are known within 5 %, "
            "or for so long (s).",
        ),
    ] = 240
    round_trips: Annotated[
        int, Meta(ge=100, description="Exchanges of one number for 200 KB, by each contender.")
    ] = 1000


class LinkJob(msgspec.Struct, frozen=True):
    """What the link benchmark is told to do."""

    link: LinkSettings
    host: str  # address of this machine that all contenders use
    interface: str  # the network interface behind that address
    device: str  # where the transports deliver what they move (cpu, cuda, cuda:N)
