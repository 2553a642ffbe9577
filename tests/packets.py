"""Packets to build captures of."""

import ipaddress
import struct
from dataclasses import dataclass

from semgap.pcap.traffic_window import packed_ip

SYN, ACK = 0x02, 0x10
SNAPSHOT_BYTES = 96


@dataclass(frozen=True)
class Packet:
    """A packet to build."""

    version: int = 4
    src: str = "127.0.0.1"
    dst: str = "127.0.0.1"
    src_port: int = 1000
    dst_port: int = 2000
    seq: int = 0
    flags: int = ACK
    payload_bytes: int = 0
    ip_options: int = 0
    tcp_options: int = 0
    fragment: int = 0
    protocol: int = 6
    ethertype: int | None = None
    vlans: tuple[int, ...] = ()
    length_stated: bool = True
    time_ns: int = 1_700_000_000_000_000_000
    captured: int = SNAPSHOT_BYTES

    def frame(self, link: int) -> tuple[bytes, int]:
        """The first bytes of the frame, at most ``captured``, and its length on the link."""
        frame = link_header(self, link) + ip_packet(self)
        payload = self.payload_bytes
        return (frame + bytes(min(payload, SNAPSHOT_BYTES)))[: self.captured], len(frame) + payload

    def row(self, link: int) -> tuple[object, ...]:
        """What the reader should say of it."""
        known = not self.fragment
        return (
            self.time_ns,
            packed_ip(self.src),
            packed_ip(self.dst),
            self.src_port * known,
            self.dst_port * known,
            self.payload_bytes * known,
            self.frame(link)[1],
            self.seq + bool(self.flags & SYN) if known else None,
            not known,
        )


def link_header(packet: Packet, link: int) -> bytes:
    ethertype = packet.ethertype or {4: 0x0800, 6: 0x86DD}[packet.version]
    types = [*packet.vlans, ethertype]
    tags = b"".join(struct.pack(">HH", 7, kind) for kind in types[1:])
    if link == 276:
        return struct.pack(">H", types[0]) + bytes(18) + tags
    return bytes({1: 12, 113: 14}[link]) + struct.pack(">H", types[0]) + tags


def ip_packet(packet: Packet) -> bytes:
    tcp = struct.pack(
        ">HHIIBBHHH",
        packet.src_port,
        packet.dst_port,
        packet.seq,
        0,
        (5 + packet.tcp_options) << 4,
        packet.flags,
        0,
        0,
        0,
    ) + bytes(4 * packet.tcp_options)
    size = len(tcp) + packet.payload_bytes
    src, dst = (ipaddress.ip_address(one).packed for one in (packet.src, packet.dst))
    if packet.version == 4:
        ihl = 5 + packet.ip_options
        total = ihl * 4 + size if packet.length_stated else 0
        start = struct.pack(
            ">BBHHHBBH", ihl + 0x40, 0, total, 0, packet.fragment, 64, packet.protocol, 0
        )
        return start + src + dst + bytes(4 * packet.ip_options) + tcp
    extension, protocol = b"", packet.protocol
    if packet.fragment:
        extension = struct.pack(">BBHI", packet.protocol, 0, packet.fragment, 0)
        protocol = 44
    stated = len(extension) + size if packet.length_stated else 0
    return struct.pack(">IHBB", 6 << 28, stated, protocol, 64) + src + dst + extension + tcp


def pcap(packets: list[Packet], link: int = 1) -> bytes:
    file = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, SNAPSHOT_BYTES, link)
    for packet in packets:
        seconds, ns = divmod(packet.time_ns, 10**9)
        data, original = packet.frame(link)
        file += struct.pack("<IIII", seconds, ns, len(data), original) + data
    return file
