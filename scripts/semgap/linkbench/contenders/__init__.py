"""What is compared on one link: ways to move a payload there and have a reply back."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Ready = Callable[[], None]

# The reply to a payload.
ACKNOWLEDGEMENT_BYTES = 8
TIMEOUT_S = 120.0
CEILING = "plain sockets"


class Link(Protocol):
    """The client's side of one contender's connection to its peer."""

    def exchange(self, payload: Tensor, reply_bytes: int) -> None:
        """Move a payload (uint8, on the CPU) to the peer and have a reply of that size back."""
        ...

    def close(self) -> None:
        """End the connection, and so the peer."""
        ...


class Contender(NamedTuple):
    """One way to move bytes."""

    name: str  # as the report calls it
    # what the peer does, with host, port, device, and a call for when it is ready
    serve: Callable[[str, int, torch.device, Ready], None]
    connect: Callable[[str, int], Link]  # makes the client's side, with host and port
