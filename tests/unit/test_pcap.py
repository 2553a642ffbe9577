"""Packet captures: what the reader takes out of them is what was put in, or it is an error."""

import contextlib
import ipaddress
import struct
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packets import Packet, pcap
from sample_runs import phase, run
from semgap.analysis.numbers.traffic import traffic_of_run
from semgap.errors import CaptureError
from semgap.measurement.tcpdump import CaptureStatus
from semgap.pcap.reader import Segments, read_segments
from semgap.pcap.traffic_window import FlowBytes, TrafficWindow
from semgap.plumbing.tcp_sockets import SocketPair

LINKS = (1, 113, 276)
SOME = settings(max_examples=60, deadline=None)


def read(file: bytes, chunk_bytes: int = 1 << 20) -> list[Segments]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "capture"
        path.write_bytes(file)
        return list(read_segments(path, chunk_bytes))


def rows(batches: list[Segments]) -> list[tuple[object, ...]]:
    return [
        (
            int(one.time_ns[at]),
            one.src_ip[at].tobytes(),
            one.dst_ip[at].tobytes(),
            int(one.src_port[at]),
            int(one.dst_port[at]),
            int(one.payload_bytes[at]),
            int(one.frame_bytes[at]),
            None if one.is_fragment[at] else int(one.seq[at]),
            bool(one.is_fragment[at]),
        )
        for one in batches
        for at in range(one.time_ns.size)
    ]


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    version = draw(st.sampled_from((4, 6)))
    length_stated = draw(st.booleans())
    word = draw(st.integers(0, 2**128 - 1))
    make_address = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    bits = 32 if version == 4 else 128
    return Packet(
        version=version,
        src=str(make_address(word % 2**bits)),
        dst=str(make_address(~word % 2**bits)),
        src_port=draw(st.integers(0, 65535)),
        dst_port=draw(st.integers(0, 65535)),
        seq=draw(st.integers(0, 2**32 - 1)),
        flags=draw(st.integers(0, 255)),
        payload_bytes=draw(st.integers(0, 65000 if length_stated else 10**6)),
        ip_options=draw(st.sampled_from((0, 0, 1, 4))),
        tcp_options=draw(st.integers(0, 10)),
        # More fragments, or the offset of a later one.
        fragment=draw(st.sampled_from((0, 0, 0, 0x2000, 8))),
        vlans=tuple(draw(st.lists(st.sampled_from((0x8100, 0x88A8)), max_size=1))),
        length_stated=length_stated,
        time_ns=draw(st.integers(0, 4 * 10**18)),
    )


@SOME
@given(st.data(), st.sampled_from(LINKS), st.sampled_from((64, 700, 1 << 20)))
def test_the_reader_gives_what_was_built(data: st.DataObject, link: int, chunk_bytes: int) -> None:
    built = data.draw(st.lists(packets(), max_size=12))
    assert rows(read(pcap(built, link), chunk_bytes)) == [one.row(link) for one in built]


def broken_files() -> dict[str, tuple[bytes, str]]:
    good = pcap([Packet(payload_bytes=100)])
    return {
        "empty": (b"", "too short"),
        "compressed": (b"\x1f\x8b" + bytes(50), "no pcap file as tcpdump writes it"),
        "pcapng": (bytes.fromhex("0a0d0d0a") + bytes(50), "no pcap file as tcpdump writes it"),
        "microseconds": (bytes.fromhex("d4c3b2a1") + good[4:], "no pcap file as tcpdump writes it"),
        "other byte order": (good[3::-1] + good[4:], "no pcap file as tcpdump writes it"),
        "header cut off": (good[:20], "too short"),
        "whole packets": (good[:16] + struct.pack("<I", 262144) + good[20:], "262144 bytes per"),
        "link type": (good[:20] + struct.pack("<I", 147) + good[24:], "link type 147"),
        "record header cut off": (good[:30], "cut off"),
        "record cut off": (good[:-1], "cut off"),
        "captured length": (good[:33] + b"\x01" + good[34:], "impossible length"),
        "original length": (good[:36] + bytes(4) + good[40:], "more bytes than it had"),
        "fraction": (good[:28] + b"\xff\xff\xff\xff" + good[32:], "stamp"),
        "no TCP header": (pcap([Packet(captured=53)]), "too short"),
        "no IP header": (pcap([Packet(captured=33)]), "too short"),
        "no link header": (pcap([Packet(captured=13)]), "too short"),
        "no VLAN tag": (pcap([Packet(captured=17, vlans=(0x8100,))]), "too short"),
        "ARP": (pcap([Packet(ethertype=0x0806)]), "no TCP in IPv4 or IPv6"),
        "UDP": (pcap([Packet(protocol=17)]), "no TCP in IPv4 or IPv6"),
        "UDP in IPv6": (
            pcap([Packet(version=6, src="::1", dst="::1", protocol=17)]),
            "no TCP in IPv4 or IPv6",
        ),
        "IP length over frame": (good[:56] + b"\xff\xff" + good[58:], "contradicts"),
        "IP length under header": (good[:56] + b"\x00\x01" + good[58:], "contradicts"),
        "IP header length": (good[:54] + b"\x41" + good[55:], "contradicts"),
        "TCP header length": (good[:86] + b"\x10" + good[87:], "impossible length"),
        "TCP header beyond packet": (pcap([Packet()])[:86] + b"\xf0" + bytes(7), "impossible"),
    }


@pytest.mark.parametrize(("file", "cause"), broken_files().values(), ids=broken_files())
def test_a_broken_capture_is_an_error_that_says_so(file: bytes, cause: str) -> None:
    with pytest.raises(CaptureError) as caught:
        read(file)
    assert cause in caught.value.cause
    assert caught.value.remedy


def test_a_missing_capture_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(CaptureError):
            list(read_segments(path))


def test_a_capture_without_packets_has_no_segments() -> None:
    assert read(pcap([])) == []


@SOME
@given(st.data())
def test_a_cut_off_capture_is_a_whole_number_of_packets_or_an_error(data: st.DataObject) -> None:
    built = data.draw(st.lists(packets(), min_size=1, max_size=6))
    whole = pcap(built)
    size = data.draw(st.integers(0, len(whole) - 1))
    ends = {len(pcap(built[:count])): count for count in range(len(built))}
    if size in ends:
        assert rows(read(whole[:size])) == [one.row(1) for one in built[: ends[size]]]
    else:
        with pytest.raises(CaptureError):
            read(whole[:size])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_garbage_is_no_other_exception(data: st.DataObject) -> None:
    link = data.draw(st.sampled_from(LINKS))
    packet = data.draw(packets())
    beginnings = (b"", pcap([packet], link), pcap([packet] * 3, link)[:-90])
    file = bytearray(data.draw(st.sampled_from(beginnings)) + data.draw(st.binary(max_size=90)))
    for _ in range(data.draw(st.integers(0, 4)) if file else 0):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CaptureError):
        for batch in read(bytes(file), data.draw(st.sampled_from((16, 1 << 16)))):
            assert (batch.payload_bytes >= 0).all()
            assert (batch.payload_bytes <= batch.frame_bytes).all()


def counted(segments: list[tuple[int, int]], batches: int = 1) -> FlowBytes:
    """Count segments of one flow, given by sequence number (modulo 2**32) and payload bytes."""
    flow = FlowBytes()
    columns = np.array([(seq % 2**32, size) for seq, size in segments], dtype=np.int64)
    for part in np.array_split(columns, batches):
        if part.size:
            flow.add(part[:, 0], part[:, 1], part[:, 1] + 66)
    return flow


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
    "keep-alive": ([(0, 100), (99, 1), (100, 10)], 1),
    "several wraps": ([(k * 2**30, 2**15) for k in range(12)], 0),
}


@pytest.mark.parametrize("batches", [1, 2, 4])
@pytest.mark.parametrize(("segments", "expected"), RETRANSMISSIONS.values(), ids=RETRANSMISSIONS)
def test_each_byte_counts_once(segments: list[tuple[int, int]], expected: int, batches: int):
    flow = counted(segments, batches)
    assert flow.sent_bytes - flow.payload_bytes == expected
    assert flow.packets == len(segments)


@SOME
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.integers(-60, 60), st.integers(0, 40)), min_size=1, max_size=30),
    st.integers(1, 4),
)
def test_payload_is_the_set_of_its_places(
    base: int, segments: list[tuple[int, int]], batches: int
) -> None:
    places = {place for begin, size in segments for place in range(begin, begin + size)}
    flow = counted([(base + begin, size) for begin, size in segments], batches)
    assert flow.payload_bytes == len(places)
    assert flow.sent_bytes == sum(size for _, size in segments)


def window_of(built: list[Packet], *pairs: SocketPair) -> TrafficWindow:
    window = TrafficWindow(0, 1 << 62, pairs, ports=[2000])
    for batch in read(pcap(built), chunk_bytes=200):
        window.add(batch)
    return window


def test_connections_are_counted_apart() -> None:
    one = Packet(payload_bytes=10)
    other = replace(one, src="127.0.0.2", version=4)
    in_v6 = replace(one, version=6, src="::1", dst="::1", payload_bytes=7)
    mine = SocketPair("127.0.0.1", 1000, "127.0.0.1", 2000)
    v6 = SocketPair("::1", 1000, "::1", 2000)
    window = window_of([one, other, replace(one, dst_port=7), other, in_v6], mine, v6)
    assert window.count([mine]).payload_bytes == 10
    assert window.count([mine, v6]).payload_bytes == 17
    assert window.foreign_bytes == {SocketPair("127.0.0.2", 1000, "127.0.0.1", 2000): 20}


def test_the_window_ends_where_it_says() -> None:
    pair = SocketPair("127.0.0.1", 1000, "127.0.0.1", 2000)
    built = [Packet(payload_bytes=1, time_ns=at, seq=at) for at in (9, 10, 19, 20)]
    window = TrafficWindow(10, 20, [pair])
    for batch in read(pcap(built)):
        window.add(batch)
    assert window.count([pair]).packets == 2


def test_fragments_between_the_sessions_addresses_are_noticed() -> None:
    pair = SocketPair("127.0.0.1", 1000, "127.0.0.1", 2000)
    fragment = Packet(payload_bytes=10, fragment=0x2000)
    assert window_of([fragment, Packet()], pair).fragments == 1
    assert window_of([replace(fragment, src="127.0.0.9"), Packet()], pair).fragments == 0


def test_a_fragment_in_a_phase_is_an_error(tmp_path: Path) -> None:
    """What a fragment carries cannot be counted, so nothing is."""
    probe = Packet(src_port=3000, dst_port=4000, payload_bytes=1000)
    fragment = Packet(fragment=0x2000, payload_bytes=10, time_ns=14_500_000_000)
    capture = tmp_path / "run.pcap"
    capture.write_bytes(pcap([probe, fragment]))
    only = phase("prefill", 14, latency_s=1.0, steps=())
    status = CaptureStatus(True, "", "lo", 2, 0)
    with pytest.raises(CaptureError, match=r"shows 1 IP fragments .* in the phase prefill"):
        traffic_of_run(run(phases=(only,), capture=status), capture)
