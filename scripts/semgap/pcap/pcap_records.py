"""Packets of a classic pcap file (pcap-savefile(5))."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from semgap.errors import CaptureError
from semgap.pcap.capture_file import MAXIMUM_CAPTURED_BYTES, CaptureWindow, Packets
from semgap.pcap.record_chain import (
    End,
    Framing,
    record_chain,
    u32_fields,
)

# The magic number as bytes of the file: byte order, and nanoseconds that one unit of a stamp's
# fraction lasts.
PCAP_MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
_FILE_HEADER_BYTES = 24
_RECORD_HEADER_BYTES = 16
_SECOND_NS = 1_000_000_000
_DAY_S = 86_400


def read_pcap(window: CaptureWindow) -> Iterator[Packets]:
    """Read the packets of a file that begins with one of ``PCAP_MAGIC``.

    Raises:
        CaptureError: the file is cut off, corrupt, or of a version other than 2.4.
    """
    if not window.holds(_FILE_HEADER_BYTES):
        raise window.cut_off()
    header = window.data[:_FILE_HEADER_BYTES].tobytes()
    order, unit_ns = PCAP_MAGIC[header[:4]]
    major, minor, snap_bytes, link = struct.unpack(f"{order}4xHH8xII", header)
    if (major, minor) != (2, 4):
        raise CaptureError(
            f"'{window.path}' is a pcap file of version {major}.{minor}.",
            "Write it with a current tcpdump, in version 2.4.",
        )
    # The upper half announces frame check sequences, which no IP length covers.
    if link >> 16:
        raise CaptureError(
            f"'{window.path}' holds frames with their check sequences (link type {link:#x}).",
            "Capture with tcpdump on an interface that strips them.",
        )
    window.skip(_FILE_HEADER_BYTES)
    longest = min(snap_bytes or MAXIMUM_CAPTURED_BYTES, MAXIMUM_CAPTURED_BYTES)
    while window.holds(_RECORD_HEADER_BYTES):
        chain = record_chain(window.data, _framing(window, order, longest))
        if chain.reason is End.CORRUPT:
            raise window.corrupt(chain.end, f"claims more than {longest} captured bytes")
        if chain.starts.size:
            yield _packets(window, chain.starts, order, unit_ns, link)
        window.skip(chain.end)
        if not window.fill():
            break
    if window.data.size:
        raise window.cut_off()


def _framing(window: CaptureWindow, order: str, longest: int) -> Framing:
    seconds = int(u32_fields(window.data, order)[0])
    return Framing(
        order=order,
        header_bytes=_RECORD_HEADER_BYTES,
        length_at=8,
        shortest=0,
        longest=longest,
        multiple=1,
        extra_bytes=_RECORD_HEADER_BYTES,
        usual_longest_bytes=_RECORD_HEADER_BYTES + longest,
        mark_low=max(1, seconds - _DAY_S),
        mark_high=min(0xFFFF_FFFF, seconds + _DAY_S),
        sentinel=None,
    )


def _packets(
    window: CaptureWindow, record: np.ndarray, order: str, unit_ns: int, link: int
) -> Packets:
    data = window.data
    headers = np.ndarray(
        (data.size - _RECORD_HEADER_BYTES + 1,),
        dtype=f"V{_RECORD_HEADER_BYTES}",
        buffer=data,
        strides=(1,),
    )[record]
    fields = headers.view(f"{order}u4").reshape(-1, 4)
    seconds, fraction, captured, original = (fields[:, i].astype(np.int64) for i in range(4))
    window.check(captured <= original, record, "claims more captured bytes than the packet had")
    window.check(fraction < _SECOND_NS // unit_ns, record, "has a stamp of more than a second")
    return Packets(
        path=window.path,
        file_offset=window.file_offset,
        data=data,
        start=record + _RECORD_HEADER_BYTES,
        captured=captured,
        original=original,
        time_ns=seconds * _SECOND_NS + fraction * unit_ns,
        links=((link, slice(None)),),
    )
