"""TCP segments of a packet capture, as columns.

A capture is read a chunk at a time, and everything is done on columns of a chunk's packets, so
memory stays bounded whatever the capture's size. What does not add up is an error, never a guess.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from semgap.errors import CaptureError
from semgap.pcap.capture_file import (
    NO_TIME_NS,
    CaptureWindow,
    Packets,
    again,
)
from semgap.pcap.packets import SegmentBatch, tcp_segments
from semgap.pcap.pcap_records import PCAP_MAGIC, read_pcap
from semgap.pcap.pcapng_records import PCAPNG_MAGIC, read_pcapng

__all__ = ["NO_TIME_NS", "SegmentBatch", "packed_ip", "read_tcp_segments"]

# A chunk and the columns made of it fit the processor's cache.
_CHUNK_BYTES = 4 << 20
_MAGIC_BYTES = 4
_MAPPED_PREFIX = bytes(10) + b"\xff\xff"


def packed_ip(text: str) -> np.void:
    """An address in the form of ``SegmentBatch.src_ip``.

    Raises:
        ValueError: ``text`` is no IP address.
    """
    address = ipaddress.ip_address(text)
    packed = address.packed if address.version == 6 else _MAPPED_PREFIX + address.packed
    return np.void(packed)


def unpacked_ip(packed: np.void) -> str:
    """The address that ``packed_ip`` has put into this form."""
    address = ipaddress.IPv6Address(packed.tobytes())
    return str(address.ipv4_mapped or address)


def read_tcp_segments(path: Path, chunk_bytes: int = _CHUNK_BYTES) -> Iterator[SegmentBatch]:
    """Read the TCP segments of a pcap or pcapng file, a batch for about ``chunk_bytes`` of it.

    A capture without a packet has no batch; a batch may be without segments.

    Raises:
        CaptureError: the file is missing, is no capture, is cut off or corrupt, is of a link type
            that is not understood, or holds a packet of which too little was captured.
    """
    try:
        with path.open("rb", buffering=0) as file:
            window = CaptureWindow(file, path, chunk_bytes)
            for packets in _packets(window):
                yield tcp_segments(packets)
    except OSError as error:
        raise CaptureError(
            f"The capture '{path}' cannot be read: {error.strerror}.", again(path)
        ) from None


def _packets(window: CaptureWindow) -> Iterator[Packets]:
    if not window.holds(_MAGIC_BYTES):
        raise CaptureError(f"'{window.path}' is too short for a capture.", again(window.path))
    magic = window.data[:_MAGIC_BYTES].tobytes()
    if magic in PCAP_MAGIC:
        return read_pcap(window)
    if magic == PCAPNG_MAGIC:
        return read_pcapng(window)
    raise CaptureError(
        f"'{window.path}' is neither a pcap nor a pcapng file: it begins with {magic.hex()}.",
        "Capture with tcpdump -w, and unpack the file if it is compressed.",
    )
