"""TCP segments of a capture as our own tcpdump writes it, as columns.

That is classic pcap (pcap-savefile(5)) of at most 255 bytes per packet, with TCP in IPv4 or IPv6
and nothing else. A capture is read a chunk at a time, so memory stays bounded whatever its size.
What does not fit is an error, never a guess.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semgap.errors import CaptureError

_CHUNK_BYTES = 1 << 20
_MAGIC = 0xA1B23C4D  # nanoseconds, in this machine's byte order
_FILE_HEADER = struct.Struct("<IHHiIII")
# A captured length then lies in one byte, which makes following the records fast.
_LONGEST_BYTES = 255
# https://www.tcpdump.org/linktypes.html: offset of the EtherType, offset of the network header.
# Ethernet is what lo and veth give, the two cooked ones are what 'any' gives.
_LINKS = {1: (12, 14), 113: (14, 16), 276: (0, 20)}
_IPV4_TYPE, _IPV6_TYPE, _VLAN_TYPES = 0x0800, 0x86DD, (0x8100, 0x88A8)
_VLAN_TAG_BYTES = 4
_PROTOCOL_TCP, _PROTOCOL_FRAGMENT = 6, 44
_MORE_FRAGMENTS_OR_OFFSET = 0x3FFF

_RECORD = np.dtype([("s", "<u4"), ("ns", "<u4"), ("captured", "<u4"), ("original", "<u4")])
# RFC 791, section 3.1.
_IPV4 = np.dtype(
    {
        "names": ["version_ihl", "total_bytes", "fragment", "protocol", "source", "destination"],
        "formats": ["u1", ">u2", ">u2", "u1", "u4", "u4"],
        "offsets": [0, 2, 6, 9, 12, 16],
        "itemsize": 20,
    }
)
# RFC 8200, section 3.
_IPV6 = np.dtype(
    {
        "names": ["version", "payload_bytes", "protocol", "source", "destination"],
        "formats": ["u1", ">u2", "u1", "V16", "V16"],
        "offsets": [0, 4, 6, 8, 24],
        "itemsize": 40,
    }
)
# RFC 9293, section 3.1.
_TCP = np.dtype(
    {
        "names": ["src_port", "dst_port", "seq", "data_offset", "flags"],
        "formats": [">u2", ">u2", ">u4", "u1", "u1"],
        "offsets": [0, 2, 4, 12, 13],
        "itemsize": 20,
    }
)
# Lets headers be decoded before their captured length is checked.
_PADDING_BYTES = _LONGEST_BYTES + _IPV6.itemsize + 15 * 4

Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Segments:
    """TCP segments in the order of the capture, one element of each array per packet."""

    time_ns: Integers  # nanoseconds since 1970 UTC
    # src_ip, dst_ip: 16 bytes each (``V16``), IPv4 addresses as ``::ffff:a.b.c.d``
    src_ip: NDArray[np.void]
    dst_ip: NDArray[np.void]
    # src_port, dst_port: 0 in a fragment
    src_port: Integers
    dst_port: Integers
    seq: Integers  # sequence number of the first byte of payload
    # TCP payload by the lengths that the IP header states, so that a capture of headers alone
    # counts in full
    payload_bytes: Integers
    frame_bytes: Integers  # length on the link, headers included
    is_fragment: Bools  # whether this is an IP fragment, of which nothing can be counted


def read_segments(path: Path, chunk_bytes: int = _CHUNK_BYTES) -> Iterator[Segments]:
    """Read a capture, ``chunk_bytes`` at a time.

    Raises:
        CaptureError: the file is missing, is another kind of capture, is cut off or corrupt, or
            holds something else than TCP.
    """
    try:
        with path.open("rb") as file:
            ethertype_at, network_at = _link_offsets(file.read(_FILE_HEADER.size), path)
            offset, rest = _FILE_HEADER.size, b""
            while chunk := file.read(chunk_bytes):
                data = rest + chunk
                starts, end = _records(data)
                if starts:
                    chunk_of_file = _Chunk(path, offset, data, np.array(starts, dtype=np.int64))
                    yield _segments(chunk_of_file, ethertype_at, network_at)
                offset, rest = offset + end, data[end:]
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from None
    if rest:
        raise _unusable(path, "is cut off: it ends within a record")


def _link_offsets(header: bytes, path: Path) -> tuple[int, int]:
    if len(header) < _FILE_HEADER.size:
        raise _unusable(path, "is too short for a capture")
    magic, major, minor, _zone, _accuracy, snapshot_bytes, link = _FILE_HEADER.unpack(header)
    if (magic, major, minor) != (_MAGIC, 2, 4):
        raise _unusable(path, f"is no pcap file as tcpdump writes it: it begins with {magic:#x}")
    if snapshot_bytes > _LONGEST_BYTES:
        raise _unusable(
            path, f"has up to {snapshot_bytes} bytes per packet, where 96 are asked for"
        )
    if link not in _LINKS:
        raise CaptureError(
            f"'{path}' was captured on an interface of link type {link}, which is not understood.",
            "Set capture.interface to an Ethernet or loopback interface, or to 'any'.",
        )
    return _LINKS[link]


def _records(data: bytes) -> tuple[list[int], int]:
    """Offset of each record that is complete, and the offset behind the last one."""
    starts: list[int] = []
    at, last = 0, len(data) - _RECORD.itemsize
    while at <= last:
        following = at + 16 + data[at + 8]  # the length's other bytes are checked by column
        if following > len(data):
            break
        starts.append(at)
        at = following
    return starts, at


class _Chunk:
    """Records of a capture in memory, and how to look at them by column."""

    def __init__(self, path: Path, offset: int, data: bytes, start: Integers) -> None:
        self._path = path
        self._offset = offset
        self._data = data + bytes(_PADDING_BYTES)
        self.start = start

    def fields(self, at: Integers, layout: np.dtype[Any] | str) -> NDArray[Any]:
        """Decode a header at each offset; copying opaque blocks is several times as fast."""
        layout = np.dtype(layout)
        places = len(self._data) - layout.itemsize + 1
        blocks = np.ndarray((places,), f"V{layout.itemsize}", self._data, strides=(1,))
        return blocks[at].view(layout)

    def check(self, sound: Bools, what: str, packet: Integers | slice = slice(None)) -> None:
        """Raise CaptureError for the first of these packets that is not sound."""
        if not sound.all():
            at = self._offset + int(self.start[packet][int(np.argmin(sound))])
            raise _unusable(self._path, f"is unusable: its packet at byte {at} {what}")


def _segments(chunk: _Chunk, ethertype_at: int, network_at: int) -> Segments:
    record = chunk.fields(chunk.start, _RECORD)
    chunk.check(record["captured"] <= _LONGEST_BYTES, "claims an impossible length")
    chunk.check(record["captured"] <= record["original"], "claims more bytes than it had")
    chunk.check(record["ns"] < 1_000_000_000, "has a stamp of more than a second")
    begin = chunk.start + _RECORD.itemsize
    network = begin + network_at
    kind = chunk.fields(begin + ethertype_at, ">u2")
    behind = begin + record["captured"]
    tagged = np.flatnonzero(np.isin(kind, _VLAN_TYPES) & (network < behind))
    while tagged.size:
        # Of a tag, the half that names the next EtherType follows the one that names the VLAN.
        kind[tagged] = chunk.fields(network[tagged] + 2, ">u2")
        network[tagged] += _VLAN_TAG_BYTES
        again = np.isin(kind[tagged], _VLAN_TYPES) & (network[tagged] < behind[tagged])
        tagged = tagged[again]
    chunk.check(network + _IPV4.itemsize <= behind, "was captured too short")
    count = chunk.start.size
    size, tcp_at = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    src_ip, dst_ip = np.zeros(count, dtype="V16"), np.zeros(count, dtype="V16")
    is_fragment, is_tcp = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    left = begin + record["original"] - network
    for ethertype, decode in ((_IPV4_TYPE, _ipv4), (_IPV6_TYPE, _ipv6)):
        chosen = np.flatnonzero(kind == ethertype)
        if chosen.size:
            (
                tcp_at[chosen],
                size[chosen],
                src_ip[chosen],
                dst_ip[chosen],
                is_tcp[chosen],
                is_fragment[chosen],
            ) = decode(chunk, network[chosen], left[chosen], chosen)
    chunk.check(is_tcp, "is no TCP in IPv4 or IPv6")
    chunk.check(is_fragment | (tcp_at + _TCP.itemsize <= behind), "was captured too short")
    tcp = chunk.fields(tcp_at, _TCP)
    header_bytes = (tcp["data_offset"] >> 4).astype(np.int64) * 4
    payload_bytes = size - header_bytes
    sound = (header_bytes >= _TCP.itemsize) & (payload_bytes >= 0)
    chunk.check(is_fragment | sound, "states an impossible length of its TCP header")
    known = ~is_fragment
    opening = (tcp["flags"] & 0x02) != 0  # a SYN takes one sequence number
    return Segments(
        time_ns=record["s"].astype(np.int64) * 1_000_000_000 + record["ns"],
        src_ip=src_ip,
        dst_ip=dst_ip,
        src_port=tcp["src_port"] * known,
        dst_port=tcp["dst_port"] * known,
        seq=tcp["seq"].astype(np.int64) + opening,
        payload_bytes=payload_bytes * known,
        frame_bytes=record["original"].astype(np.int64),
        is_fragment=is_fragment,
    )


def _ipv4(chunk: _Chunk, at: Integers, left: Integers, packet: Integers) -> tuple[Any, ...]:
    header = chunk.fields(at, _IPV4)
    header_bytes = (header["version_ihl"] & 0x0F).astype(np.int64) * 4
    # With segmentation left to the network card, a packet beyond 64 KiB states no length.
    stated = header["total_bytes"].astype(np.int64)
    total_bytes = np.where(stated == 0, left, stated)
    sound = (header["version_ihl"] >> 4 == 4) & (header_bytes >= _IPV4.itemsize)
    sound &= (total_bytes >= header_bytes) & (total_bytes <= left)
    chunk.check(sound, "has an IP header that contradicts it", packet)
    return (
        at + header_bytes,
        total_bytes - header_bytes,
        _mapped(header["source"]),
        _mapped(header["destination"]),
        header["protocol"] == _PROTOCOL_TCP,
        (header["fragment"] & _MORE_FRAGMENTS_OR_OFFSET) != 0,
    )


def _ipv6(chunk: _Chunk, at: Integers, left: Integers, packet: Integers) -> tuple[Any, ...]:
    header = chunk.fields(at, _IPV6)
    available = left - _IPV6.itemsize
    # Jumbograms (RFC 2675) and Linux's BIG TCP state no length.
    stated = header["payload_bytes"].astype(np.int64)
    size = np.where(stated == 0, available, stated)
    sound = (header["version"] >> 4 == 6) & (size <= available)
    chunk.check(sound, "has an IP header that contradicts it", packet)
    is_fragment = header["protocol"] == _PROTOCOL_FRAGMENT
    is_tcp = (header["protocol"] == _PROTOCOL_TCP) | is_fragment
    return at + _IPV6.itemsize, size, header["source"], header["destination"], is_tcp, is_fragment


def _mapped(address: NDArray[np.uint32]) -> NDArray[np.void]:
    """IPv4 addresses mapped into IPv6 (RFC 4291, section 2.5.5.2), bytes kept in their order."""
    words = np.zeros((address.size, 4), dtype=np.uint32)
    words[:, 2] = np.frombuffer(b"\0\0\xff\xff", dtype=np.uint32)
    words[:, 3] = address
    return words.view("V16").ravel()


def _unusable(path: Path, what: str) -> CaptureError:
    return CaptureError(
        f"'{path}' {what}.", f"Delete '{path}' and run again: only that repeat is measured again."
    )
