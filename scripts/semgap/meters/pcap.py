"""TCP segments of a packet capture, as columns.

Reads the classic pcap format (pcap-savefile(5)) in both byte orders, with stamps in micro- or
nanoseconds. Record headers are followed one after the other; everything else is done on columns,
a chunk of the file at a time, so memory stays bounded whatever the capture's size.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from semgap.errors import CaptureError

_CHUNK_BYTES = 32 << 20
_FILE_HEADER_BYTES = 24
_RECORD_HEADER_BYTES = 16
# No record can be longer than what libpcap calls MAXIMUM_SNAPLEN.
_MAXIMUM_CAPTURED_BYTES = 262_144
# Magic number as the file's bytes: byte order and nanoseconds a time stamp unit.
_FORMATS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
# Link type (https://www.tcpdump.org/linktypes.html): offset of the EtherType, offset of the
# network header.
_LINK_LAYERS = {1: (12, 14), 113: (14, 16), 276: (0, 20)}
_ETHERTYPE_IPV4 = 0x0800
_ETHERTYPE_IPV6 = 0x86DD
_PROTOCOL_TCP = 6
_MAPPED_PREFIX = bytes(10) + b"\xff\xff"


@dataclass(frozen=True)
class SegmentBatch:
    """TCP segments, one element of each array a segment.

    Attributes:
        records: packets read for this batch, TCP or not.
        time_ns: int64, nanoseconds since 1970.
        src_ip, dst_ip: 16 bytes each (numpy ``V16``), IPv4 addresses as ``::ffff:a.b.c.d``.
        src_port, dst_port: uint16.
        payload_bytes: int64, TCP payload by the lengths that the IP header states, so that a
            capture of headers alone counts in full.
        frame_bytes: int64, length on the link.
        sequence: uint32, TCP sequence number of the first payload byte.
    """

    records: int
    time_ns: NDArray[np.int64]
    src_ip: NDArray[np.void]
    src_port: NDArray[np.uint16]
    dst_ip: NDArray[np.void]
    dst_port: NDArray[np.uint16]
    payload_bytes: NDArray[np.int64]
    frame_bytes: NDArray[np.int64]
    sequence: NDArray[np.uint32]

    def only(self, chosen: NDArray[np.bool_]) -> SegmentBatch:
        """The chosen segments; ``records`` still speaks of all that were read."""
        columns = {name: values[chosen] for name, values in vars(self).items() if name != "records"}
        return SegmentBatch(records=self.records, **columns)


def packed_ip(text: str) -> np.void:
    """An address in the form of ``SegmentBatch.src_ip``."""
    address = ipaddress.ip_address(text)
    packed = address.packed if address.version == 6 else _MAPPED_PREFIX + address.packed
    return np.void(packed)


def read_tcp_segments(path: Path) -> Iterator[SegmentBatch]:
    """Read a capture in batches of about 32 MB.

    Raises:
        CaptureError: the file is missing, is no pcap file, is cut off, or is of a link type or
            holds a packet that this reader does not understand.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_FILE_HEADER_BYTES)
            if len(header) < _FILE_HEADER_BYTES or header[:4] not in _FORMATS:
                raise CaptureError(f"'{path}' is not a pcap file.", _remedy(path))
            order, unit_ns = _FORMATS[header[:4]]
            link_type = struct.unpack_from(f"{order}I", header, 20)[0] & 0xFFFF
            if link_type not in _LINK_LAYERS:
                raise CaptureError(
                    f"'{path}' was captured on an interface of link type {link_type}.",
                    "Capture on an Ethernet or loopback interface, or on 'any'.",
                )
            for chunk, offsets in _records(file, order, path):
                yield _segments(chunk, offsets, order, unit_ns, link_type, path)
    except FileNotFoundError:
        raise CaptureError(f"'{path}' does not exist.", _remedy(path)) from None


def _records(file: BinaryIO, order: str, path: Path) -> Iterator[tuple[bytes, NDArray[np.int64]]]:
    """Chunks of whole records, with the offset of each record in its chunk."""
    captured_length = struct.Struct(f"{order}8xI4x").unpack_from
    rest = b""
    while True:
        read = file.read(_CHUNK_BYTES)
        chunk = rest + read
        offsets = []
        offset, last_header = 0, len(chunk) - _RECORD_HEADER_BYTES
        while offset <= last_header:
            length = captured_length(chunk, offset)[0]
            if length > _MAXIMUM_CAPTURED_BYTES:
                raise CaptureError(
                    f"'{path}' is corrupt: a record claims {length} bytes.", _remedy(path)
                )
            following = offset + _RECORD_HEADER_BYTES + length
            if following > len(chunk):
                break
            offsets.append(offset)
            offset = following
        rest = chunk[offset:]
        if offsets:
            yield chunk, np.array(offsets, dtype=np.int64)
        if not read:
            break
    if rest:
        raise CaptureError(f"'{path}' is cut off within its last packet.", _remedy(path))


def _segments(
    chunk: bytes,
    offsets: NDArray[np.int64],
    order: str,
    unit_ns: int,
    link_type: int,
    path: Path,
) -> SegmentBatch:
    data = np.frombuffer(chunk, dtype=np.uint8)
    header = data[offsets[:, None] + np.arange(_RECORD_HEADER_BYTES)].view(f"{order}u4")
    seconds, fraction, captured, original = (header[:, i].astype(np.int64) for i in range(4))
    frames = _Frames(data, offsets + _RECORD_HEADER_BYTES, captured, path)
    ethertype_at, network_at = _LINK_LAYERS[link_type]
    frames.need(np.full(len(offsets), network_at))
    ethertype = frames.u16(np.full(len(offsets), ethertype_at))
    network = np.full(len(offsets), network_at)
    v4 = ethertype == _ETHERTYPE_IPV4
    v6 = ethertype == _ETHERTYPE_IPV6
    if not np.all(v4 | v6):
        strange = int(ethertype[~(v4 | v6)][0])
        raise CaptureError(
            f"'{path}' holds a frame of EtherType 0x{strange:04x}, which is neither IPv4 nor IPv6.",
            "Capture with the filter 'tcp' on an interface without VLAN tags.",
        )
    frames.need(network + np.where(v4, 20, 40))
    protocol = frames.u8(network + np.where(v4, 9, 6))
    if not np.all(protocol == _PROTOCOL_TCP):
        raise CaptureError(
            f"'{path}' holds packets other than plain TCP segments (IP protocol "
            f"{int(protocol[protocol != _PROTOCOL_TCP][0])}).",
            "Capture with the filter 'tcp'.",
        )
    fragment = v4 & ((frames.u16(network + np.where(v4, 6, 0)) & 0x3FFF) != 0)
    if np.any(fragment):
        raise CaptureError(
            f"'{path}' holds IP fragments, whose TCP payload cannot be counted.",
            "Capture on an interface whose MTU is not below the path's.",
        )
    ip_header = np.where(v4, (frames.u8(network) & 0x0F).astype(np.int64) * 4, 40)
    tcp = network + ip_header
    frames.need(tcp + 14)
    stated = np.where(
        v4, frames.u16(network + 2).astype(np.int64), frames.u16(network + 4).astype(np.int64) + 40
    )
    # Super-packets beyond 64 KB state no length (Linux BIG TCP); the frame's own length says it.
    unstated = np.where(v4, stated == 0, stated == 40)
    ip_bytes = np.where(unstated, original - network, stated)
    payload = ip_bytes - ip_header - (frames.u8(tcp + 12) >> 4).astype(np.int64) * 4
    if np.any(payload < 0):
        raise CaptureError(f"'{path}' holds a packet of impossible lengths.", _remedy(path))
    return SegmentBatch(
        records=len(offsets),
        time_ns=seconds * 1_000_000_000 + fraction * unit_ns,
        src_ip=frames.addresses(network, v4, 12, 8),
        src_port=frames.u16(tcp),
        dst_ip=frames.addresses(network, v4, 16, 24),
        dst_port=frames.u16(tcp + 2),
        payload_bytes=payload,
        frame_bytes=original,
        sequence=(frames.u16(tcp + 4).astype(np.uint32) << np.uint32(16)) | frames.u16(tcp + 6),
    )


@dataclass(frozen=True)
class _Frames:
    """The captured part of each frame, addressed by offsets into the frame."""

    data: NDArray[np.uint8]
    begin: NDArray[np.int64]
    captured: NDArray[np.int64]
    path: Path

    def need(self, length: NDArray[np.int64]) -> None:
        """Raise CaptureError unless at least ``length`` bytes of each frame were captured."""
        if np.any(self.captured < length):
            raise CaptureError(
                f"'{self.path}' holds a packet of which too little was captured.",
                "Capture at least 96 bytes of each packet (tcpdump -s 96).",
            )

    def u8(self, offset: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.data[self.begin + offset]

    def u16(self, offset: NDArray[np.int64]) -> NDArray[np.uint16]:
        high = self.u8(offset).astype(np.uint16)
        return (high << np.uint16(8)) | self.u8(offset + 1)

    def addresses(
        self, network: NDArray[np.int64], v4: NDArray[np.bool_], offset_v4: int, offset_v6: int
    ) -> NDArray[np.void]:
        """Addresses of 16 bytes, those of IPv4 mapped into IPv6 (RFC 4291, section 2.5.5.2)."""
        packed = np.empty((len(network), 16), dtype=np.uint8)
        packed[v4, :12] = np.frombuffer(_MAPPED_PREFIX, dtype=np.uint8)
        begin = self.begin + network
        packed[v4, 12:] = self.data[begin[v4, None] + offset_v4 + np.arange(4)]
        packed[~v4] = self.data[begin[~v4, None] + offset_v6 + np.arange(16)]
        return packed.view("V16").ravel()


def _remedy(path: Path) -> str:
    return f"Delete '{path}' and run again: only that repeat is measured again."
