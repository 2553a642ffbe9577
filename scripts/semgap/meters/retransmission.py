"""Which payload bytes of a TCP flow a capture saw for the first time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def first_transmission_bytes(
    sequence: NDArray[np.uint32], payload_bytes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """For each segment of one direction of a flow, the payload that no earlier segment carried.

    The rest of its payload was retransmitted. Segments may be captured out of order, as they are
    on hosts with several processors, as long as they are less than 2 GiB apart; sequence numbers
    wrap at 32 bits (RFC 9293, section 3.4).

    Args:
        sequence: sequence numbers in the order of capture.
        payload_bytes: length of the payloads.

    Returns:
        int64, in the order of capture; the sum is the number of distinct bytes captured.
    """
    if not len(sequence):
        return np.zeros(0, dtype=np.int64)
    steps = np.diff(sequence).astype(np.int32).astype(np.int64)
    begin = np.concatenate(([0], np.cumsum(steps)))
    order = np.argsort(begin, kind="stable")
    sorted_begin, sorted_length = begin[order], payload_bytes[order]
    sorted_end = sorted_begin + sorted_length
    covered_until = np.concatenate(([sorted_begin[0]], np.maximum.accumulate(sorted_end)[:-1]))
    first = np.empty_like(payload_bytes)
    first[order] = np.clip(sorted_end - np.maximum(sorted_begin, covered_until), 0, sorted_length)
    return first
