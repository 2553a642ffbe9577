"""The capture reader beside tshark, on what our own tcpdump captured."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading

import pytest

from judges import needs
from semgap.measurement.tcpdump import capture
from semgap.pcap.retransmissions import RetransmissionCounter
from semgap.pcap.segments import read_tcp_segments


def exchange(family: socket.AddressFamily, address: str, sizes: list[int]) -> int:
    """Send through a connection of its own; the port of its listener."""
    with socket.create_server((address, 0), family=family) as listener:
        port = listener.getsockname()[1]
        received = []

        def receive() -> None:
            connection, _ = listener.accept()
            with connection:
                received.append(sum(map(len, iter(lambda: connection.recv(1 << 16), b""))))

        receiver = threading.Thread(target=receive)
        receiver.start()
        with socket.create_connection((address, port)) as connection:
            for size in sizes:
                connection.sendall(bytes(size))
        receiver.join()
    assert received == [sum(sizes)]
    return port


@needs("tcpdump", "tshark", "editcap")
@pytest.mark.parametrize("interface_", ["lo", "any"])
@pytest.mark.parametrize("file_format", ["pcap", "nsecpcap", "pcapng"])
def test_tshark_sums_the_same(tmp_path, interface_, file_format):
    captured, path = tmp_path / "captured", tmp_path / "converted"
    with capture(interface_, captured) as running:
        v4_port = exchange(socket.AF_INET, "127.0.0.1", [1, 2_000_000, 500])
        if socket.has_ipv6:
            with contextlib.suppress(OSError):
                exchange(socket.AF_INET6, "::1", [3, 700_000])
        running.stop()
    subprocess.run(["editcap", "-F", file_format, captured, path], check=True)
    fields = ("tcp.srcport", "tcp.dstport", "tcp.len", "frame.len", "tcp.seq_raw")
    lines = subprocess.run(
        ["tshark", "-r", path, "-T", "fields", *(part for one in fields for part in ("-e", one))],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    expected = [tuple(map(int, line.split("\t"))) for line in lines]
    batches = list(read_tcp_segments(path))
    columns = ("src_port", "dst_port", "payload_bytes", "frame_bytes", "seq")
    found = [
        row
        for one in batches
        for row in zip(*(getattr(one, name).tolist() for name in columns), strict=True)
    ]
    assert found == expected
    sent = sum(size for _, dst_port, size, *_ in found if dst_port == v4_port)
    counter = RetransmissionCounter()
    for one in batches:
        counter.add(one)
    again = counter.retransmitted_bytes()
    sent_again = sum(size for flow, size in again.items() if flow.dst_port == v4_port)
    assert sent - sent_again == 2_000_501
