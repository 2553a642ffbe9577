"""The capture reader beside tshark, on what our own tcpdump captured and on what a test built."""

import contextlib
import socket
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from judges import needs
from networks import joined_network, needs_a_network
from packets import SYN, Packet, pcap
from semgap.measurement.tcpdump import capture
from semgap.pcap.reader import read_segments
from semgap.pcap.traffic_window import TrafficWindow
from semgap.plumbing.tcp_sockets import SocketPair

END_OF_TIME_NS = 1 << 62
FIELDS = (
    *("frame.time_epoch", "tcp.srcport", "tcp.dstport", "tcp.len", "frame.len"),
    *("tcp.seq_raw", "tcp.flags.syn"),
)
SERVE = """
import socket, sys
with socket.create_server((sys.argv[1], 7000)) as listener:
    print("ready", flush=True)
    connection, _ = listener.accept()
    while connection.recv(1 << 20):
        pass
"""


def exchange(family, address, sizes):
    """Send through a connection of its own; returns its ends."""
    with socket.create_server((address, 0), family=family) as listener:
        received = []

        def receive():
            connection, _ = listener.accept()
            with connection:
                received.append(sum(map(len, iter(lambda: connection.recv(1 << 16), b""))))

        receiver = threading.Thread(target=receive)
        receiver.start()
        with socket.create_connection(listener.getsockname()[:2]) as connection:
            ends = SocketPair(*connection.getsockname()[:2], *connection.getpeername()[:2])
            for size in sizes:
                connection.sendall(bytes(size))
        receiver.join()
    assert received == [sum(sizes)]
    return ends


def told(path, *fields, only="tcp"):
    """What tshark says of each packet; its times have nine decimals."""
    arguments = [part for field in fields for part in ("-e", field)]
    lines = subprocess.run(
        ["tshark", "-r", path, "-Y", only, "-T", "fields", *arguments],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    flags = {"True": "1", "False": "0"}
    return [
        tuple(int(flags.get(cell, cell).replace(".", "")) for cell in line.split("\t"))
        for line in lines
    ]


def agrees(path):
    """The reader and tshark see the same packets; returns how many."""
    expected = [
        (time_ns, src, dst, size, frame, seq + syn)
        for time_ns, src, dst, size, frame, seq, syn in told(path, *FIELDS)
    ]
    columns = ("time_ns", "src_port", "dst_port", "payload_bytes", "frame_bytes", "seq")
    found = [
        row
        for one in read_segments(path)
        for row in zip(*(getattr(one, name).tolist() for name in columns), strict=True)
    ]
    assert found == expected
    return len(found)


def counted(path, ends):
    window = TrafficWindow(0, END_OF_TIME_NS, [ends])
    for segments in read_segments(path):
        window.add(segments)
    return window.count([ends])


@needs("tcpdump", "tshark")
@pytest.mark.parametrize("interface", ["lo", "any"])
def test_tshark_sees_the_same_on_this_machines_interfaces(tmp_path, interface):
    path = tmp_path / "captured"
    with capture(interface, path) as running:
        in_v4 = exchange(socket.AF_INET, "127.0.0.1", [1, 2_000_000, 500])
        in_v6 = None
        with contextlib.suppress(OSError):
            in_v6 = exchange(socket.AF_INET6, "::1", [3, 700_000])
        running.stop()
    assert agrees(path) > 60
    assert counted(path, in_v4).payload_bytes == 2_000_501
    assert in_v6 is None or counted(path, in_v6).payload_bytes == 700_003


@needs("tcpdump", "tshark")
@needs_a_network
def test_tshark_sees_the_same_between_two_networks(tmp_path):
    path = tmp_path / "captured"
    with contextlib.ExitStack() as stack:
        link = stack.enter_context(joined_network())
        command = [*link.there, sys.executable, "-c", SERVE, link.far]
        server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
        stack.callback(server.kill)
        assert server.stdout.readline() == b"ready\n"
        running = stack.enter_context(capture(link.interface, path))
        with socket.create_connection((link.far, 7000)) as connection:
            ends = SocketPair(*connection.getsockname(), *connection.getpeername())
            connection.sendall(bytes(3_000_000))
        server.wait(20)
        running.stop()
    assert agrees(path) > 50
    assert counted(path, ends).payload_bytes == 3_000_000


@needs("tshark")
def test_tshark_sees_the_same_retransmissions_in_tagged_frames(tmp_path):
    path = tmp_path / "built"
    ends = SocketPair("10.0.0.1", 1000, "10.0.0.2", 2000)
    first = Packet(src=ends.local_ip, dst=ends.remote_ip, vlans=(0x8100,), payload_bytes=100)
    opening = replace(first, seq=999, flags=SYN, payload_bytes=0)
    order = [0, 1, 2, 1, 3, 4, 2, 3, 5]
    built = [opening] + [replace(first, seq=1000 + 100 * place) for place in order]
    stamped = [
        replace(one, time_ns=one.time_ns + 300_000_000 * index) for index, one in enumerate(built)
    ]
    path.write_bytes(pcap(stamped))
    assert agrees(path) == len(stamped)
    seen = counted(path, ends)
    again = told(path, "tcp.len", only="tcp.analysis.retransmission")
    assert seen.retransmitted_bytes == sum(size for (size,) in again) == 300
    assert seen.payload_bytes == 600
