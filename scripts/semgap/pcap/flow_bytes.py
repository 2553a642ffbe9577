"""Payload of one direction of a connection, each byte once, told by sequence numbers."""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

_SEQUENCE_NUMBERS = 1 << 32


class FlowBytes:
    """Counts what a flow's segments carry.

    A segment that was only reordered counts in full; a packet that was captured twice counts like
    one that was sent twice, and so does the byte of a keep-alive probe.

    Attributes:
        sent_bytes: payload, what was sent again included.
        frame_bytes: whole frames, headers included.
        packets: segments, with payload or without.
    """

    def __init__(self) -> None:
        self.sent_bytes = self.frame_bytes = self.packets = 0
        self._last_seq: int | None = None
        self._position = 0
        self._seen = np.empty((0, 2), dtype=np.int64)

    @property
    def payload_bytes(self) -> int:
        """Payload, each byte once."""
        return int((self._seen[:, 1] - self._seen[:, 0]).sum())

    def add(self, seq: Integers, payload_bytes: Integers, frame_bytes: Integers) -> None:
        """Take in the flow's next segments, in the order of the capture."""
        self.sent_bytes += int(payload_bytes.sum())
        self.frame_bytes += int(frame_bytes.sum())
        self.packets += seq.size
        last = int(seq[0]) if self._last_seq is None else self._last_seq
        # Segments in flight are less than half the sequence space apart (RFC 7323, section 2.2).
        half = _SEQUENCE_NUMBERS // 2
        steps = (np.diff(seq, prepend=last) + half) % _SEQUENCE_NUMBERS - half
        begin = self._position + np.cumsum(steps)
        self._last_seq, self._position = int(seq[-1]), int(begin[-1])
        carrying = payload_bytes > 0
        spans = np.stack([begin, begin + payload_bytes], axis=1)[carrying]
        self._seen = _union(np.concatenate([self._seen, spans]))


def _union(spans: Integers) -> Integers:
    """Half-open spans that overlap or touch, joined; int64 of shape (spans, 2), sorted."""
    if spans.size == 0:
        return spans
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reached = np.maximum.accumulate(spans[:, 1])
    opens = np.append(True, spans[1:, 0] > reached[:-1])
    closes = np.append(opens[1:], True)
    return np.stack([spans[opens, 0], reached[closes]], axis=1)
