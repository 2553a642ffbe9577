"""Which tensors travel together: the messages that a policy leads to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# Setup sends weights in messages of this size, so that neither side holds a second copy of them.
_SETUP_MESSAGE_BYTES = 64_000_000


def setup_messages(weight_sizes_bytes: Sequence[int]) -> Iterator[range]:
    """The indices of the weights of each message in which weights are shipped once."""
    first = 0
    size_bytes = 0
    for index, weight_bytes in enumerate(weight_sizes_bytes):
        size_bytes += weight_bytes
        if size_bytes >= _SETUP_MESSAGE_BYTES:
            yield range(first, index + 1)
            first, size_bytes = index + 1, 0
    if first < len(weight_sizes_bytes):
        yield range(first, len(weight_sizes_bytes))
