#!/usr/bin/env python3
"""Measure how many packets a second the capture reader takes in.

The capture is made up: one loopback connection, IPv4 over Ethernet, captured at a snapshot length
of 96 bytes. About half of its packets are acknowledgements of 66 bytes, the others data.
"""

import argparse
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from semgap.pcap.reader import read_segments
from semgap.pcap.traffic_window import TrafficWindow
from semgap.plumbing.tcp_sockets import SocketPair

_SNAP_BYTES = 96
_HEADER_BYTES = 66
_PAYLOAD_BYTES = 32768
_RECORD_HEADER_BYTES = 16
_BEGIN_NS = 1_700_000_000 * 10**9


def made_up_packets(packets: int, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Which packets carry data, and the captured bytes of all, 96 a row."""
    random = np.random.default_rng(seed)
    is_data = random.random(packets) < 0.5
    rows = np.empty((packets, _SNAP_BYTES), dtype=np.uint8)
    rows[:, _HEADER_BYTES:] = random.integers(0, 256, (packets, _SNAP_BYTES - _HEADER_BYTES))
    addresses = bytes((127, 0, 0, 1)) * 2
    for data, ports in ((True, (40000, 5000)), (False, (5000, 40000))):
        payload_bytes = _PAYLOAD_BYTES if data else 0
        headers = (
            bytes(12)
            + struct.pack(">H", 0x0800)
            + struct.pack(">BBHHHBBH", 0x45, 0, 52 + payload_bytes, 1, 0x4000, 64, 6, 0)
            + addresses
            + struct.pack(">HHIIBBHHH", *ports, 0, 0, 0x80, 0x10, 512, 0, 0)
            + b"\x01\x01\x08\x0a"
            + bytes(8)
        )
        rows[is_data == data, :_HEADER_BYTES] = np.frombuffer(headers, dtype=np.uint8)
    seq = np.where(is_data, np.cumsum(is_data) * _PAYLOAD_BYTES, 0).astype(">u4")
    rows[:, 38:42] = seq.view(np.uint8).reshape(-1, 4)
    return is_data, rows


def write_capture(path: Path, packets: int, seed: int) -> None:
    """Write a made-up capture."""
    is_data, rows = made_up_packets(packets, seed)
    captured = np.where(is_data, _SNAP_BYTES, _HEADER_BYTES)
    original = np.where(is_data, _HEADER_BYTES + _PAYLOAD_BYTES, _HEADER_BYTES)
    time_ns = _BEGIN_NS + np.arange(packets) * 3000
    header = [time_ns // 10**9, time_ns % 10**9, captured, original]
    records = np.zeros((packets, _RECORD_HEADER_BYTES + _SNAP_BYTES), dtype=np.uint8)
    records[:, :_RECORD_HEADER_BYTES] = np.stack(header, axis=1).astype("<u4").view(np.uint8)
    records[:, _RECORD_HEADER_BYTES:] = rows
    within = np.arange(records.shape[1]) < (_RECORD_HEADER_BYTES + captured)[:, None]
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, _SNAP_BYTES, 1))
        file.write(records[within].tobytes())


def read_seconds(path: Path, packets: int, windows: Sequence[TrafficWindow]) -> float:
    """Time to read the capture once, and check that nothing is missing."""
    begin_s = time.perf_counter()
    records = 0
    for segments in read_segments(path):
        records += segments.time_ns.size
        for window in windows:
            window.add(segments)
    seconds = time.perf_counter() - begin_s
    if records != packets:
        raise SystemExit(f"{records} of {packets} packets were read.")
    return seconds


def phases(packets: int) -> list[TrafficWindow]:
    """Four phases that follow each other, as a run has them."""
    edges = [_BEGIN_NS + packets * 3000 * quarter // 4 for quarter in range(5)]
    pairs = (
        SocketPair("127.0.0.1", 40000, "127.0.0.1", 5000),
        SocketPair("127.0.0.1", 5000, "127.0.0.1", 40000),
    )
    return [TrafficWindow(begin, end, pairs, ports=[5000]) for begin, end in pairwise(edges)]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=3_000_000, help="default: %(default)s")
    parser.add_argument("--repeats", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--folder", type=Path, help="for the capture; default: a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "capture"
        write_capture(path, arguments.packets, arguments.seed)
        for counting in (False, True):
            rates = [
                arguments.packets
                / read_seconds(
                    path, arguments.packets, phases(arguments.packets) if counting else []
                )
                for _ in range(arguments.repeats)
            ]
            print(
                f"{'reading and counting in four phases' if counting else 'reading'}: "
                f"median {statistics.median(rates) / 1e6:.2f}, best {max(rates) / 1e6:.2f} "
                "million packets/s"
            )


if __name__ == "__main__":
    main()
