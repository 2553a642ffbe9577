"""Packet captures: what the reader takes out of them is what was put in, or it is an error."""

from __future__ import annotations

import contextlib
import ipaddress
import random
import struct
import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semgap.errors import CaptureError
from semgap.pcap.record_chain import End, Framing, record_chain
from semgap.pcap.retransmissions import Flow, RetransmissionCounter
from semgap.pcap.segments import (
    NO_TIME_NS,
    SegmentBatch,
    packed_ip,
    read_tcp_segments,
)

SYN, ACK = 0x02, 0x10
LINKS = (1, 113, 276, 101, 12, 14, 228, 229, 0, 108)
HEADERS = 300  # more than all headers of any packet built here
SOME = settings(max_examples=60, deadline=None)


@dataclass(frozen=True)
class Packet:
    """A packet to build; a kind other than ``tcp`` is one that holds no TCP header."""

    kind: str = "tcp"
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
    extensions: tuple[int, ...] = ()
    vlans: tuple[int, ...] = ()
    length_stated: bool = True
    time_ns: int = 1_700_000_000_000_000_000
    captured: int = HEADERS
    interface: int = 0

    def frame(self, link: int) -> tuple[bytes, int]:
        """The first bytes of the frame, at most ``captured``, and its length on the link."""
        frame = link_header(self, link) + ip_packet(self)
        payload = self.payload_bytes
        return (frame + bytes(min(payload, HEADERS)))[: self.captured], len(frame) + payload

    def row(self, link: int) -> tuple[object, ...]:
        """What the reader should say of it."""
        return (
            self.time_ns,
            packed_ip(self.src).tobytes(),
            self.src_port,
            packed_ip(self.dst).tobytes(),
            self.dst_port,
            self.payload_bytes,
            self.frame(link)[1],
            self.seq,
            self.flags,
        )


def link_header(packet: Packet, link: int) -> bytes:
    ethertype = 0x0806 if packet.kind == "arp" else {4: 0x0800, 6: 0x86DD}[packet.version]
    types = [*packet.vlans, ethertype]
    tags = b"".join(struct.pack(">HH", 7, kind) for kind in types[1:])
    if link == 1:
        return bytes(12) + struct.pack(">H", types[0]) + tags
    if link == 113:
        return bytes(14) + struct.pack(">H", types[0]) + tags
    if link == 276:
        return struct.pack(">H", types[0]) + bytes(18) + tags
    if link in (0, 108):
        family = {4: 2, 6: 30}[packet.version] if packet.kind != "arp" else 99
        order = "<" if link == 0 and packet.src_port % 2 else ">"
        return struct.pack(f"{order}I", family)
    return b""


def ip_packet(packet: Packet) -> bytes:
    if packet.kind == "arp":
        return bytes(28)
    data_offset = 5 + packet.tcp_options
    tcp = struct.pack(
        ">HHIIBBHHH",
        packet.src_port,
        packet.dst_port,
        packet.seq,
        0,
        data_offset << 4,
        packet.flags,
        0,
        0,
        0,
    ) + bytes(4 * packet.tcp_options)
    protocol = 17 if packet.kind == "udp" else 6
    fragment = {"fragment": 5, "first": 0x2000}.get(packet.kind, 0)
    size = len(tcp) + packet.payload_bytes
    src, dst = (ipaddress.ip_address(one).packed for one in (packet.src, packet.dst))
    if packet.version == 4:
        ihl = 5 + packet.ip_options
        total = ihl * 4 + size if packet.length_stated else 0
        start = struct.pack(">BBHHHBBH", ihl + 0x40, 0, total, 0, fragment, 64, protocol, 0)
        return start + src + dst + bytes(4 * packet.ip_options) + tcp
    kinds = list(packet.extensions)
    if fragment:
        kinds.append(44)
    protocols = [*kinds, protocol]
    extensions = b"".join(
        struct.pack(">BBHI", after, 0, (fragment & 0x1FFF) << 3, 0)
        if kind == 44
        else struct.pack(">BB", after, 1) + bytes(14)
        for kind, after in pairwise(protocols)
    )
    stated = len(extensions) + size if packet.length_stated else 0
    start = struct.pack(">IHBB", 6 << 28, stated, protocols[0], 64)
    return start + src + dst + extensions + tcp


def pcap(packets: list[Packet], link: int = 1, order: str = "<", nano: bool = True) -> bytes:
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    file = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    for packet in packets:
        seconds, ns = divmod(packet.time_ns, 10**9)
        data, original = packet.frame(link)
        fraction = ns if nano else ns // 1000
        file += struct.pack(f"{order}IIII", seconds, fraction, len(data), original) + data
    return file


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + length + body + length


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, link: int, resolution: int, offset_s: int = 0) -> bytes:
    options = struct.pack(f"{order}HHB3x", 9, 1, resolution)
    options += struct.pack(f"{order}HHq", 14, 8, offset_s) + bytes(4)
    return block(order, 1, struct.pack(f"{order}HHI", link, 0, 65535) + options)


def enhanced(order: str, packet: Packet, link: int, ticks: int) -> bytes:
    data, original = packet.frame(link)
    high, low = divmod(ticks, 1 << 32)
    body = struct.pack(f"{order}IIIII", packet.interface, high, low, len(data), original) + data
    return block(order, 6, body + bytes(-len(data) % 4) + struct.pack(f"{order}HHI", 2, 4, 1))


def simple(order: str, packet: Packet, link: int) -> bytes:
    data, original = packet.frame(link)
    assert len(data) == original
    return block(order, 3, struct.pack(f"{order}I", original) + data)


def ticks_of(time_ns: int, resolution: int) -> int:
    """The first tick that is not before a time."""
    per_second = 2 ** (resolution & 127) if resolution & 128 else 10**resolution
    return -(-time_ns * per_second // 10**9)


def ns_of(ticks: int, resolution: int) -> int:
    per_second = 2 ** (resolution & 127) if resolution & 128 else 10**resolution
    return ticks * 10**9 // per_second


def read(file: bytes, chunk_bytes: int = 1 << 20) -> list[SegmentBatch]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "capture"
        path.write_bytes(file)
        return list(read_tcp_segments(path, chunk_bytes))


def rows(batches: list[SegmentBatch]) -> list[tuple[object, ...]]:
    return [
        (time_ns, src_ip.tobytes(), src_port, dst_ip.tobytes(), dst_port, *rest)
        for one in batches
        for time_ns, src_ip, src_port, dst_ip, dst_port, *rest in zip(
            one.time_ns.tolist(),
            one.src_ip,
            one.src_port.tolist(),
            one.dst_ip,
            one.dst_port.tolist(),
            one.payload_bytes.tolist(),
            one.frame_bytes.tolist(),
            one.seq.tolist(),
            one.flags.tolist(),
            strict=True,
        )
    ]


@st.composite
def packets(draw: st.DrawFn, link: int) -> Packet:
    version = {228: 4, 229: 6}.get(link) or draw(st.sampled_from((4, 6)))
    kinds = ["tcp", "tcp", "tcp", "udp", "fragment", "first"]
    if link in (1, 113, 276, 0, 108):
        kinds.append("arp")
    length_stated = draw(st.booleans())
    word = draw(st.integers(0, 2**128 - 1))
    make_address = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    bits = 32 if version == 4 else 128
    return Packet(
        kind=draw(st.sampled_from(kinds)),
        version=version,
        src=str(make_address(word % 2**bits)),
        dst=str(make_address(~word % 2**bits)),
        src_port=draw(st.integers(0, 65535)),
        dst_port=draw(st.integers(0, 65535)),
        seq=draw(st.integers(0, 2**32 - 1)),
        flags=draw(st.integers(0, 255)),
        payload_bytes=draw(st.integers(0, 65000 if length_stated else 10**6)),
        ip_options=draw(st.sampled_from((0, 0, 1, 10))),
        tcp_options=draw(st.integers(0, 10)),
        extensions=tuple(draw(st.lists(st.sampled_from((0, 43, 60, 44)), max_size=3))),
        vlans=tuple(
            draw(st.lists(st.sampled_from((0x8100, 0x88A8, 0x9100)), max_size=2))
            if link in (1, 113, 276)
            else ()
        ),
        length_stated=length_stated,
        time_ns=draw(st.integers(0, 4 * 10**18)),
    )


def check(batches: list[SegmentBatch], built: list[Packet], link: int) -> None:
    with_header = [one for one in built if one.kind in ("tcp", "first")]
    assert rows(batches) == [one.row(link) for one in with_header]
    assert sum(one.records for one in batches) == len(built)
    later = [one for one in built if one.kind == "fragment"]
    assert sum(one.fragments for one in batches) == len(later)


@SOME
@given(st.data(), st.sampled_from(LINKS), st.sampled_from("<>"), st.booleans())
def test_pcap_gives_what_was_built(data: st.DataObject, link: int, order: str, nano: bool) -> None:
    built = data.draw(st.lists(packets(link), max_size=12))
    if not nano:
        built = [replace(one, time_ns=one.time_ns // 1000 * 1000) for one in built]
    chunk_bytes = data.draw(st.sampled_from((64, 700, 1 << 20)))
    check(read(pcap(built, link, order, nano), chunk_bytes), built, link)


@SOME
@given(st.data(), st.sampled_from(LINKS), st.sampled_from("<>"))
def test_pcapng_gives_what_was_built(data: st.DataObject, link: int, order: str) -> None:
    resolution = data.draw(st.sampled_from((0, 3, 6, 9, 10, 0x80, 0x80 | 20, 0x80 | 32)))
    offset_s = data.draw(st.sampled_from((0, -5, 10**9)))
    built = []
    file = section(order) + interface(order, link, resolution, offset_s)
    for one in data.draw(st.lists(packets(link), max_size=12)):
        ticks = ticks_of(one.time_ns, resolution) % 2**63
        built.append(replace(one, time_ns=ns_of(ticks, resolution) + offset_s * 10**9))
        file += enhanced(order, built[-1], link, ticks) + block(order, 5, bytes(12))
    check(read(file, data.draw(st.sampled_from((64, 700, 1 << 20)))), built, link)


def test_pcapng_sections_of_both_orders_and_interfaces_of_several_links() -> None:
    first = Packet(payload_bytes=10, time_ns=10**18)
    second = Packet(payload_bytes=20, time_ns=10**18 + 10**9, interface=1, version=6)
    second = replace(second, src="::1", dst="::1")
    third = Packet(payload_bytes=30, captured=10**6, time_ns=NO_TIME_NS)
    file = (
        section("<")
        + interface("<", 1, 9)
        + enhanced("<", first, 1, first.time_ns)
        + interface("<", 101, 6)
        + enhanced("<", second, 101, second.time_ns // 1000)
        + enhanced("<", first, 1, first.time_ns)
        + simple("<", third, 1)
        + section(">")
        + interface(">", 276, 0x80 | 10)
        + enhanced(">", first, 276, 10**9 << 10)
    )
    expected = [first.row(1), second.row(101), first.row(1), third.row(1), first.row(276)]
    for chunk_bytes in (64, 1 << 20):
        assert rows(read(file, chunk_bytes)) == expected


@pytest.mark.parametrize("exponent", [31, 32, 33, 40, 63])
def test_binary_stamps_are_exact(exponent: int) -> None:
    ticks = [0, 1, 2**63 - 1, 2**64 - 1, 123_456_789_012_345_678]
    ticks = [one for one in ticks if ns_of(one, 0x80 | exponent) < 2**63]
    packet = Packet()
    file = section("<") + interface("<", 1, 0x80 | exponent)
    file += b"".join(enhanced("<", packet, 1, one) for one in ticks)
    [batch] = read(file)
    assert batch.time_ns.tolist() == [ns_of(one, 0x80 | exponent) for one in ticks]


def test_columns_have_the_promised_types() -> None:
    [batch] = read(pcap([Packet()]))
    types = {
        "time_ns": "int64",
        "src_ip": "V16",
        "src_port": "uint16",
        "dst_ip": "V16",
        "dst_port": "uint16",
        "payload_bytes": "int64",
        "frame_bytes": "int64",
        "seq": "uint32",
        "flags": "uint8",
    }
    for name, expected in types.items():
        assert getattr(batch, name).dtype == np.dtype(expected), name
    assert (batch.src_ip == packed_ip("127.0.0.1")).all()


def broken_files() -> dict[str, tuple[bytes, str]]:
    good = pcap([Packet(payload_bytes=100)])
    ng = section("<") + interface("<", 1, 9)
    packet = enhanced("<", Packet(), 1, 0)
    return {
        "empty": (b"", "too short"),
        "unknown magic": (b"\x1f\x8b" + bytes(50), "neither"),
        "header cut off": (good[:20], "cut off"),
        "version": (good[:4] + struct.pack("<HH", 2, 3) + good[8:], "version 2.3"),
        "check sequences": (good[:20] + struct.pack("<I", 0x54000001) + good[24:], "sequences"),
        "link type": (pcap([Packet()], 147), "link type 147"),
        "record header cut off": (good[:30], "cut off"),
        "record cut off": (good[:-1], "cut off"),
        "captured length": (good[:32] + b"\xff\xff\xff\x7f" + good[36:], "captured bytes"),
        "original length": (good[:36] + bytes(4) + good[40:], "captured bytes"),
        "fraction": (good[:28] + b"\xff\xff\xff\xff" + good[32:], "stamp"),
        "no TCP header": (pcap([Packet(captured=53)]), "too short"),
        "no IP header": (pcap([Packet(captured=33)]), "too short"),
        "no link header": (pcap([Packet(captured=13)]), "too short"),
        "no VLAN tag": (pcap([Packet(captured=17, vlans=(0x8100,))]), "too short"),
        "raw version": (pcap([Packet()], 229), "IP version"),
        "IP length over frame": (good[:56] + b"\xff\xff" + good[58:], "contradicts"),
        "IP length under header": (good[:56] + b"\x00\x01" + good[58:], "contradicts"),
        "IP header length": (good[:54] + b"\x41" + good[55:], "contradicts"),
        "TCP header length": (good[:86] + b"\x10" + good[87:], "impossible length"),
        "TCP header beyond packet": (pcap([Packet()])[:86] + b"\xf0" + bytes(7), "impossible"),
        "section cut off": (ng[:20], "cut off"),
        "byte order": (ng[:8] + bytes(4) + ng[12:], "byte order"),
        "section version": (ng[:12] + b"\2\0" + ng[14:], "version 2.0"),
        "section length": (ng[:4] + b"\x1d" + ng[5:], "29 bytes"),
        "block cut off": (ng + packet[:-1], "cut off"),
        "block length": (ng + packet[:4] + b"\x09" + packet[5:], "impossible length"),
        "block trailer": (ng + packet[:-4] + bytes(4), "repeat its length"),
        "no interface": (section("<") + packet, "interface"),
        "interface later": (section("<") + packet + interface("<", 1, 9), "interface"),
        "no interface, simple": (section("<") + block("<", 3, bytes(8)), "interface"),
        "packet block": (ng + block("<", 2, bytes(40)), "obsolete"),
        "enhanced too short": (ng + block("<", 6, bytes(8)), "too short for its kind"),
        "enhanced overfull": (ng + packet[:20] + b"\xff" + packet[21:], "captured bytes"),
        "simple overfull": (ng + block("<", 3, struct.pack("<I", 90)), "fewer bytes"),
        "resolution": (section("<") + interface("<", 1, 19), "10^-19"),
        "stamp overflow": (
            section("<") + interface("<", 1, 0) + enhanced("<", Packet(), 1, 2**60),
            "2262",
        ),
        "option": (
            section("<") + block("<", 1, struct.pack("<HHIHH", 1, 0, 0, 9, 99)),
            "longer than the block",
        ),
    }


@pytest.mark.parametrize(("file", "cause"), broken_files().values(), ids=broken_files())
def test_broken_capture_is_an_error_that_says_so(file: bytes, cause: str) -> None:
    with pytest.raises(CaptureError) as caught:
        read(file)
    assert cause in caught.value.cause
    assert caught.value.remedy


def test_missing_capture_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(CaptureError):
            list(read_tcp_segments(path))


def test_capture_without_packets_has_no_batch() -> None:
    assert read(pcap([])) == []
    assert read(section(">")) == []


@SOME
@given(st.data())
def test_cut_off_capture_is_a_whole_number_of_packets_or_an_error(data: st.DataObject) -> None:
    built = data.draw(st.lists(packets(1), min_size=1, max_size=6))
    whole = pcap(built)
    size = data.draw(st.integers(0, len(whole) - 1))
    ends = {len(pcap(built[:count])): count for count in range(len(built))}
    if size in ends:
        check(read(whole[:size]), built[: ends[size]], 1)
    else:
        with pytest.raises(CaptureError):
            read(whole[:size])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_garbage_is_no_other_exception(data: st.DataObject) -> None:
    order = data.draw(st.sampled_from("<>"))
    link = data.draw(st.sampled_from(LINKS))
    packet = data.draw(packets(link))
    beginnings = (
        b"",
        pcap([packet], link, order),
        pcap([packet] * 3, link, order)[:-150],
        section(order) + interface(order, link, 9) + enhanced(order, packet, link, 1),
        section(order) + simple(order, Packet(), link),
        section(order),
    )
    file = bytearray(data.draw(st.sampled_from(beginnings)) + data.draw(st.binary(max_size=90)))
    for _ in range(data.draw(st.integers(0, 4)) if file else 0):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CaptureError):
        for batch in read(bytes(file), data.draw(st.sampled_from((16, 1 << 16)))):
            assert (batch.payload_bytes >= 0).all()
            assert (batch.payload_bytes <= batch.frame_bytes).all()


def plain_chain(data: bytes, framing: Framing) -> tuple[list[int], int, End]:
    starts: list[int] = []
    at = 0
    while at + framing.header_bytes <= len(data):
        first, _, length = struct.unpack_from(f"{framing.order}III", data, at)
        if first == framing.sentinel:
            return starts, at, End.SENTINEL
        if length > framing.longest:
            return starts, at, End.CORRUPT
        if at + length + framing.extra_bytes > len(data):
            break
        starts.append(at)
        at += length + framing.extra_bytes
    return starts, at, End.INCOMPLETE


@SOME
@given(
    st.integers(0, 2**32),
    st.sampled_from(("honest", "deceptive", "constant")),
    st.sampled_from((64, 128, 333)),
    st.integers(0, 3),
)
def test_chain_does_not_depend_on_where_lanes_begin(
    seed: int, content: str, lane_bytes: int, faults: int
) -> None:
    """Data that look like records mislead the lanes, but never the result."""
    rng = random.Random(seed)
    framing = Framing("<", 12, 8, 0, 50, 1, 12, 62, 90, 101, 77)
    data = bytearray()
    for _ in range(rng.randrange(300, 600)):
        size = 30 if content == "constant" else rng.randrange(51)
        filler = struct.pack("<III", 95, 0, rng.randrange(60)) * 5
        body = filler[:size] if content == "deceptive" else rng.randbytes(size)
        data += struct.pack("<III", 95, 0, size) + body
    for _ in range(faults):
        at = rng.randrange(len(data) - 4)
        data[at : at + 4] = rng.choice((b"\x4d\0\0\0", b"\xff" * 4, bytes(4)))
    view = np.frombuffer(bytes(data), dtype=np.uint8)
    chain = record_chain(view, framing, lane_bytes)
    assert (chain.starts.tolist(), chain.end, chain.reason) == plain_chain(bytes(data), framing)


def test_large_capture_takes_the_lanes_and_loses_nothing() -> None:
    rng = random.Random(0)
    kinds = [
        pcap([Packet(payload_bytes=size, captured=96, tcp_options=3)])[24:]
        for size in (0, 1448, 65483)
    ]
    chosen = rng.choices(range(3), k=30_000)
    file = pcap([]) + b"".join(kinds[kind] for kind in chosen)
    batches = read(file, 1 << 20)
    sizes = np.array([0, 1448, 65483])[chosen]
    assert np.array_equal(np.concatenate([one.payload_bytes for one in batches]), sizes)


def one_flow(*segments: tuple[int, int] | tuple[int, int, int]) -> list[Packet]:
    """Packets by sequence number (taken modulo 2**32), payload bytes, flags."""
    return [
        Packet(seq=seq % 2**32, payload_bytes=size, flags=flags[0] if flags else ACK)
        for seq, size, *flags in segments
    ]


def retransmitted(packets_: list[Packet], batches: int = 1) -> list[int]:
    counter = RetransmissionCounter()
    for part in np.array_split(np.arange(len(packets_)), batches):
        for batch in read(pcap([packets_[index] for index in part])):
            counter.add(batch)
    return list(counter.retransmitted_bytes().values())


RETRANSMISSIONS = {
    "in order": ([(0, 100), (100, 100), (200, 50)], 0),
    "twice": ([(0, 100), (0, 100)], 100),
    "overlap in part": ([(0, 100), (50, 100)], 50),
    "reordered": ([(0, 100), (200, 100), (100, 100)], 0),
    "before the first": ([(100, 100), (0, 100), (0, 100)], 100),
    "hole filled, then again": ([(0, 10), (20, 10), (10, 10), (10, 10)], 10),
    "over two holes": ([(0, 10), (20, 10), (40, 10), (5, 40)], 20),
    "within a hole": ([(0, 10), (100, 10), (50, 10), (40, 30)], 10),
    "wrap in order": ([(-100, 100), (0, 100)], 0),
    "wrap within a segment, twice": ([(-50, 100), (50, 10), (-50, 100)], 100),
    "wrap, reordered": ([(-150, 100), (50, 10), (-50, 100)], 0),
    "acknowledgements": ([(0, 100), (100, 0), (100, 0), (100, 10)], 0),
    "several wraps": ([(k * 2**30, 2**15) for k in range(12)], 0),
    "SYN and data": ([(-1, 0, SYN), (0, 10), (10, 10)], 0),
    "SYN with data": ([(-1, 10, SYN), (10, 10)], 0),
    "SYN again": ([(-1, 0, SYN), (-1, 0, SYN), (0, 10), (0, 10)], 10),
    "new connection": ([(-1, 0, SYN), (0, 10), (4, 0, SYN), (5, 10), (15, 5)], 0),
}


@pytest.mark.parametrize("batches", [1, 2, 4])
@pytest.mark.parametrize(("segments", "expected"), RETRANSMISSIONS.values(), ids=RETRANSMISSIONS)
def test_retransmitted_bytes(segments: list[tuple[int, int]], expected: int, batches: int) -> None:
    assert retransmitted(one_flow(*segments), batches) == [expected]


@SOME
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.integers(-60, 60), st.integers(1, 40)), min_size=1, max_size=30),
    st.integers(1, 4),
)
def test_retransmitted_bytes_are_those_seen_before(
    base: int, segments: list[tuple[int, int]], batches: int
) -> None:
    seen: set[int] = set()
    expected = 0
    for begin, size in segments:
        places = set(range(begin, begin + size))
        expected += len(places & seen)
        seen |= places
    flow = one_flow(*((base + begin, size) for begin, size in segments))
    assert retransmitted(flow, batches) == [expected]


def test_flows_are_counted_apart() -> None:
    one = Packet(payload_bytes=10)
    other = replace(one, src="127.0.0.2")
    counter = RetransmissionCounter()
    for batch in read(pcap([one, other, replace(one, dst_port=7), other])):
        counter.add(batch)
    local = packed_ip("127.0.0.1").tobytes()
    assert counter.retransmitted_bytes() == {
        Flow(local, 1000, local, 2000): 0,
        Flow(local, 1000, local, 7): 0,
        Flow(packed_ip("127.0.0.2").tobytes(), 1000, local, 2000): 10,
    }
