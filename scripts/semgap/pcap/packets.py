"""TCP segments out of captured packets, by whole columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semgap.errors import CaptureError
from semgap.pcap.capture_file import Packets, Selection, again

_TOO_LITTLE = "was captured too short to tell whether it is TCP, or how much it carries"
_CAPTURE_MORE = "Capture at least 96 bytes of each packet (tcpdump -s 96)."

# https://www.tcpdump.org/linktypes.html: offset of the EtherType, offset of the network header.
_ETHERTYPE_LINKS = {1: (12, 14), 113: (14, 16), 276: (0, 20)}
_RAW_LINKS = {12: (4, 6), 14: (4, 6), 101: (4, 6), 228: (4,), 229: (6,)}
_FAMILY_LINKS = {0: ("<", ">"), 108: (">",)}

_ETHERTYPES = {0x0800: 4, 0x86DD: 6}
# IEEE 802.1Q, 802.1ad, and the numbers in use before 802.1ad.
_VLAN_ETHERTYPES = (0x8100, 0x88A8, 0x9100, 0x9200)
_VLAN_TAG_BYTES = 4
# AF_INET, and AF_INET6 of NetBSD and OpenBSD, FreeBSD, Darwin.
_FAMILIES = {2: 4, 24: 6, 28: 6, 30: 6}
_FAMILY_BYTES = 4

_PROTOCOL_TCP = 6
_EXTENSIONS = (0, 43, 60)  # hop-by-hop options, routing, destination options: RFC 8200, section 4
_EXTENSION_FRAGMENT = 44
_NO_PROTOCOL = 255
_FRAGMENT_OFFSET_MASK_V4 = 0x1FFF

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
        "names": ["version", "payload_bytes", "next", "source", "destination"],
        "formats": ["u1", ">u2", "u1", "V16", "V16"],
        "offsets": [0, 4, 6, 8, 24],
        "itemsize": 40,
    }
)
# RFC 8200, sections 4.3 to 4.6; ``fragment`` is of the Fragment header alone.
_EXTENSION = np.dtype(
    {
        "names": ["next", "length", "fragment"],
        "formats": ["u1", "u1", ">u2"],
        "offsets": [0, 1, 2],
        "itemsize": 8,
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


@dataclass(frozen=True)
class SegmentBatch:
    """TCP segments in the order of the capture, one element of each array a segment.

    Attributes:
        records: packets read for this batch, TCP or not.
        fragments: packets among them that are IP fragments other than the first of a TCP segment.
            They hold no TCP header, so no segment of this batch contains their payload.
        time_ns: int64, nanoseconds since 1970 UTC; ``NO_TIME_NS`` for a packet without stamp.
        src_ip, dst_ip: 16 bytes each (``V16``), IPv4 addresses as ``::ffff:a.b.c.d``.
        src_port, dst_port: uint16.
        payload_bytes: int64, TCP payload by the lengths that the IP header states, so that a
            capture of headers alone counts in full.
        frame_bytes: int64, length on the link, headers included.
        seq: uint32, sequence number.
        flags: uint8, from FIN (1) to CWR (128).
    """

    records: int
    fragments: int
    time_ns: NDArray[np.int64]
    src_ip: NDArray[np.void]
    src_port: NDArray[np.uint16]
    dst_ip: NDArray[np.void]
    dst_port: NDArray[np.uint16]
    payload_bytes: NDArray[np.int64]
    frame_bytes: NDArray[np.int64]
    seq: NDArray[np.uint32]
    flags: NDArray[np.uint8]


@dataclass(frozen=True)
class _TcpInIp:
    """Packets that hold a TCP header.

    Attributes:
        packet: int64, number of each packet, rising.
        start: int64, offset of the TCP header in the window.
        size: int64, bytes of TCP header and payload.
        src_ip, dst_ip: V16.
        fragments: TCP fragments left out.
    """

    packet: NDArray[np.int64]
    start: NDArray[np.int64]
    size: NDArray[np.int64]
    src_ip: NDArray[np.void]
    dst_ip: NDArray[np.void]
    fragments: int


def tcp_segments(packets: Packets) -> SegmentBatch:
    """Take the TCP segments out of captured packets.

    TCP within tunnels, and behind IPv6 extension headers other than hop-by-hop, routing,
    destination options and fragment, is not looked for.

    Raises:
        CaptureError: the link type is unknown, a packet contradicts itself, or too little of it
            was captured.
    """
    network, version = _network_headers(packets)
    in_v4 = _tcp_in_ipv4(packets, network, np.flatnonzero(version == 4))
    in_v6 = _tcp_in_ipv6(packets, network, np.flatnonzero(version == 6))
    found = _in_order(in_v4, in_v6)
    chosen: Selection = found.packet
    if found.packet.size == packets.start.size:
        chosen = slice(None)
    frame_bytes = packets.original[chosen]
    behind = packets.start[chosen] + packets.captured[chosen]
    packets.check(found.start + _TCP.itemsize <= behind, chosen, _TOO_LITTLE, _CAPTURE_MORE)
    tcp = _gather(packets.data, found.start, _TCP)
    header_bytes = (tcp["data_offset"] >> 4).astype(np.int64) * 4
    payload_bytes = found.size - header_bytes
    packets.check(
        (header_bytes >= _TCP.itemsize) & (payload_bytes >= 0),
        chosen,
        "states an impossible length of its TCP header",
        again(packets.path),
    )
    return SegmentBatch(
        records=packets.start.size,
        fragments=found.fragments,
        time_ns=packets.time_ns[chosen],
        src_ip=found.src_ip,
        src_port=tcp["src_port"].astype(np.uint16),
        dst_ip=found.dst_ip,
        dst_port=tcp["dst_port"].astype(np.uint16),
        payload_bytes=payload_bytes,
        frame_bytes=frame_bytes,
        seq=tcp["seq"].astype(np.uint32),
        flags=tcp["flags"].copy(),
    )


def _gather(
    data: NDArray[np.uint8], start: NDArray[np.int64], layout: np.dtype[Any]
) -> NDArray[Any]:
    """Copies of the headers that begin at each ``start``; all must lie within ``data``."""
    size = layout.itemsize
    if start.size == 0:
        return np.empty(0, dtype=layout)
    # Opaque items are moved as blocks of memory, which is several times faster than by field.
    everywhere = np.ndarray((data.size - size + 1,), dtype=f"V{size}", buffer=data, strides=(1,))
    return everywhere[start].view(layout)


def _network_headers(packets: Packets) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Where each network header begins in the window; its IP version, 0 for anything else."""
    network = packets.start.copy()
    version = np.zeros(packets.start.size, dtype=np.uint8)
    for link, chosen in packets.links:
        if link in _ETHERTYPE_LINKS:
            begin, kind = _behind_ethertype(packets, chosen, *_ETHERTYPE_LINKS[link])
        elif link in _RAW_LINKS:
            begin, kind = packets.start[chosen], _raw_version(packets, chosen, _RAW_LINKS[link])
        elif link in _FAMILY_LINKS:
            begin, kind = _behind_family(packets, chosen, _FAMILY_LINKS[link])
        else:
            raise CaptureError(
                f"'{packets.path}' was captured on an interface of link type {link}, which is "
                "not understood.",
                "Capture on an Ethernet or loopback interface, or on 'any'.",
            )
        network[chosen] = begin
        version[chosen] = kind
    return network, version


def _behind_ethertype(
    packets: Packets, chosen: Selection, ethertype_at: int, network_at: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    start = packets.start[chosen]
    captured = packets.captured[chosen]
    packets.check(captured >= network_at, chosen, _TOO_LITTLE, _CAPTURE_MORE)
    network = start + network_at
    ethertype = _gather(packets.data, start + ethertype_at, np.dtype(">u2"))
    tagged = np.flatnonzero(np.isin(ethertype, _VLAN_ETHERTYPES))
    while tagged.size:
        sound = np.ones(start.size, dtype=np.bool_)
        sound[tagged] = network[tagged] + _VLAN_TAG_BYTES <= start[tagged] + captured[tagged]
        packets.check(sound, chosen, _TOO_LITTLE, _CAPTURE_MORE)
        # Of a tag, the half that names the next EtherType follows the one that names the VLAN.
        ethertype[tagged] = _gather(packets.data, network[tagged] + 2, np.dtype(">u2"))
        network[tagged] += _VLAN_TAG_BYTES
        tagged = tagged[np.isin(ethertype[tagged], _VLAN_ETHERTYPES)]
    return network, _versions(ethertype, _ETHERTYPES)


def _behind_family(
    packets: Packets, chosen: Selection, orders: tuple[str, ...]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The family is in network order or, link type NULL, in the capturing machine's."""
    start = packets.start[chosen]
    packets.check(packets.captured[chosen] >= _FAMILY_BYTES, chosen, _TOO_LITTLE, _CAPTURE_MORE)
    version = np.zeros(start.size, dtype=np.uint8)
    for order in orders:
        version |= _versions(_gather(packets.data, start, np.dtype(f"{order}u4")), _FAMILIES)
    return start + _FAMILY_BYTES, version


def _raw_version(
    packets: Packets, chosen: Selection, allowed: tuple[int, ...]
) -> NDArray[np.uint8]:
    packets.check(packets.captured[chosen] >= 1, chosen, _TOO_LITTLE, _CAPTURE_MORE)
    version: NDArray[np.uint8] = packets.data[packets.start[chosen]] >> np.uint8(4)
    packets.check(
        np.isin(version, allowed),
        chosen,
        "is of an IP version that its link type does not have",
        again(packets.path),
    )
    return version


def _versions(kind: NDArray[np.unsignedinteger], known: dict[int, int]) -> NDArray[np.uint8]:
    version = np.zeros(kind.size, dtype=np.uint8)
    for value, ip_version in known.items():
        version[kind == value] = ip_version
    return version


def _tcp_in_ipv4(
    packets: Packets, network: NDArray[np.int64], packet: NDArray[np.int64]
) -> _TcpInIp:
    header = _ip_headers(packets, network, packet, _IPV4)
    tcp = header["protocol"] == _PROTOCOL_TCP
    later_fragment = tcp & ((header["fragment"] & _FRAGMENT_OFFSET_MASK_V4) != 0)
    kept = tcp & ~later_fragment
    if not kept.all():
        packet, header = packet[kept], header[kept]
    begin = network[packet]
    header_bytes = (header["version_ihl"] & 0x0F).astype(np.int64) * 4
    available = packets.start[packet] + packets.original[packet] - begin
    # With segmentation left to the network card, a packet beyond 64 KiB states no length.
    stated = header["total_bytes"].astype(np.int64)
    total_bytes = np.where(stated == 0, available, stated)
    sound = (header["version_ihl"] >> 4 == 4) & (header_bytes >= _IPV4.itemsize)
    _check_ip(packets, packet, sound & (total_bytes >= header_bytes) & (total_bytes <= available))
    return _TcpInIp(
        packet=packet,
        start=begin + header_bytes,
        size=total_bytes - header_bytes,
        src_ip=_mapped(header["source"]),
        dst_ip=_mapped(header["destination"]),
        fragments=int(np.count_nonzero(later_fragment)),
    )


def _tcp_in_ipv6(
    packets: Packets, network: NDArray[np.int64], packet: NDArray[np.int64]
) -> _TcpInIp:
    header = _ip_headers(packets, network, packet, _IPV6)
    _check_ip(packets, packet, header["version"] >> 4 == 6)
    start = network[packet] + _IPV6.itemsize
    protocol = header["next"].copy()
    fragments = _pass_extensions(packets, packet, start, protocol)
    kept = protocol == _PROTOCOL_TCP
    if not kept.all():
        packet, header, start = packet[kept], header[kept], start[kept]
    payload_at = network[packet] + _IPV6.itemsize
    available = packets.start[packet] + packets.original[packet] - payload_at
    # Jumbograms (RFC 2675) and Linux's BIG TCP state no length.
    stated = header["payload_bytes"].astype(np.int64)
    size = np.where(stated == 0, available, stated)
    extension_bytes = start - payload_at
    _check_ip(packets, packet, (size <= available) & (size >= extension_bytes))
    return _TcpInIp(
        packet=packet,
        start=start,
        size=size - extension_bytes,
        src_ip=header["source"].copy(),
        dst_ip=header["destination"].copy(),
        fragments=fragments,
    )


def _pass_extensions(
    packets: Packets,
    packet: NDArray[np.int64],
    start: NDArray[np.int64],
    protocol: NDArray[np.uint8],
) -> int:
    """Move ``start`` and ``protocol`` behind the extension headers, in place.

    The protocol of a fragment other than the first becomes one that is none.

    Returns:
        How many fragments other than first ones are, or may be, of a TCP segment.
    """
    behind = packets.start[packet] + packets.captured[packet]
    passable = (*_EXTENSIONS, _EXTENSION_FRAGMENT)
    fragments = 0
    open_ = np.flatnonzero(np.isin(protocol, passable))
    while open_.size:
        packets.check(
            start[open_] + _EXTENSION.itemsize <= behind[open_],
            packet[open_],
            _TOO_LITTLE,
            _CAPTURE_MORE,
        )
        extension = _gather(packets.data, start[open_], _EXTENSION)
        is_fragment = protocol[open_] == _EXTENSION_FRAGMENT
        is_later = is_fragment & (extension["fragment"] >> 3 != 0)
        following = extension["next"]
        fragments += int(
            np.count_nonzero(is_later & np.isin(following, (*passable, _PROTOCOL_TCP)))
        )
        units = np.where(is_fragment, 0, extension["length"]).astype(np.int64)
        start[open_] += (units + 1) * _EXTENSION.itemsize
        protocol[open_] = np.where(is_later, _NO_PROTOCOL, following)
        open_ = open_[np.isin(protocol[open_], passable)]
    return fragments


def _ip_headers(
    packets: Packets,
    network: NDArray[np.int64],
    packet: NDArray[np.int64],
    layout: np.dtype[np.void],
) -> NDArray[Any]:
    begin = network[packet]
    behind = packets.start[packet] + packets.captured[packet]
    packets.check(begin + layout.itemsize <= behind, packet, _TOO_LITTLE, _CAPTURE_MORE)
    return _gather(packets.data, begin, layout)


def _check_ip(packets: Packets, packet: NDArray[np.int64], sound: NDArray[np.bool_]) -> None:
    packets.check(sound, packet, "has an IP header that contradicts it", again(packets.path))


def _mapped(address: NDArray[np.uint32]) -> NDArray[np.void]:
    """IPv4 addresses mapped into IPv6 (RFC 4291, section 2.5.5.2), bytes kept in their order."""
    words = np.zeros((address.size, 4), dtype=np.uint32)
    words[:, 2] = np.frombuffer(b"\0\0\xff\xff", dtype=np.uint32)
    words[:, 3] = address
    return words.view("V16").ravel()


def _in_order(one: _TcpInIp, other: _TcpInIp) -> _TcpInIp:
    """The packets of both in the order of the capture."""
    fragments = one.fragments + other.fragments
    if other.packet.size == 0:
        return _TcpInIp(one.packet, one.start, one.size, one.src_ip, one.dst_ip, fragments)
    if one.packet.size == 0:
        return _in_order(other, one)
    packet = np.concatenate([one.packet, other.packet])
    order = np.argsort(packet)
    return _TcpInIp(
        packet=packet[order],
        start=np.concatenate([one.start, other.start])[order],
        size=np.concatenate([one.size, other.size])[order],
        src_ip=np.concatenate([one.src_ip, other.src_ip])[order],
        dst_ip=np.concatenate([one.dst_ip, other.dst_ip])[order],
        fragments=fragments,
    )
