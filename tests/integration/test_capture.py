"""Real captures of real sockets: complete, or an error that says what is wrong."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from judges import needs
from networks import needs_a_network
from patience import PATIENCE_S
from sample_runs import phase, run, step
from semgap.analysis.gates.counting import check_counts
from semgap.analysis.numbers.counts import PredictedRow, count_rows
from semgap.analysis.numbers.traffic import traffic_of_run
from semgap.errors import CaptureError, MeasurementError
from semgap.measurement.tcpdump import CaptureStatus, CaptureUnavailableError, capture, send_probe
from semgap.pcap.reader import read_segments
from semgap.plumbing.tcp_sockets import SocketPair, reverse_of, sockets_of
from small_models import PROJECT

pytestmark = needs("tcpdump")
SEND = """
from semgap.errors import CaptureError, MeasurementError
from semgap.measurement.tcpdump import send_probe
try:
    send_probe("127.0.0.1")
except CaptureError as error:
    print(error)
"""


@pytest.fixture
def captured(tmp_path):
    """A record of a run in this process, whose one phase sent 1 MB of probe traffic."""
    file = tmp_path / "run.pcap"
    with capture("lo", file) as running:
        before = send_probe("127.0.0.1")
        begin_ns = time.time_ns()
        sent = send_probe("127.0.0.1")
        end_ns = time.time_ns()
        after = send_probe("127.0.0.1")
        running.stop()
    only = phase(
        "decode",
        0,
        begin_unix_ns=begin_ns,
        end_unix_ns=end_ns,
        steps=(step(up=sent.payload_bytes, down=0),),
    )
    record = run(
        phases=(only,),
        client_sockets=(sent.socket,),
        worker_sockets=(reverse_of(sent.socket),),
        listening_ports=(sent.socket.remote_port,),
        probes=(before, after),
        capture=running.status,
    )
    return record, file


def changed(record, **values):
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    return type(record)(**{**fields, **values})


def test_a_phase_is_counted_to_the_byte(captured):
    record, file = captured
    up, down = traffic_of_run(record, file)
    assert (up.direction, up.payload_bytes, up.source) == ("up", 1_000_003, "tcpdump")
    assert (down.direction, down.payload_bytes) == ("down", 0)
    assert up.frame_bytes >= up.payload_bytes + 66 * 10


def test_the_last_packets_are_in_the_file(tmp_path):
    """tcpdump told to stop leaves unread what the kernel still holds; we wait for it."""
    for attempt in range(3):
        file = tmp_path / f"{attempt}.pcap"
        with capture("lo", file) as running:
            sent = send_probe("127.0.0.1")
            running.stop()
        batches = list(read_segments(file))
        assert sum(int(batch.payload_bytes.sum()) for batch in batches) >= sent.payload_bytes
        assert sum(batch.time_ns.size for batch in batches) == running.status.packets
        assert running.status.dropped_packets == 0


def test_survived_an_interface_that_others_never_leave_quiet(tmp_path, monkeypatch):
    monkeypatch.setattr("semgap.measurement.tcpdump._BUSY_INTERFACE_S", 1.0)
    file = tmp_path / "run.pcap"
    ended = threading.Event()
    near, far = socket.create_server(("127.0.0.1", 0)), socket.socket()
    far.connect(near.getsockname())

    def chatter():
        while not ended.wait(0.001):
            far.sendall(b"x")

    others = threading.Thread(target=chatter)
    with near, far, capture("lo", file) as running:
        others.start()
        sent = send_probe("127.0.0.1")
        running.stop()
        ended.set()
        others.join()
    captured_bytes = sum(int(batch.payload_bytes.sum()) for batch in read_segments(file))
    assert captured_bytes >= sent.payload_bytes


def test_a_capture_that_lacks_its_end_is_refused(captured):
    record, file = captured
    with pytest.raises(CaptureError, match="packets, but tcpdump wrote"):
        traffic_of_run(
            changed(record, capture=CaptureStatus(True, "", "lo", record.capture.packets + 1)), file
        )


def test_a_capture_that_is_cut_off_is_refused(captured):
    record, file = captured
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(CaptureError, match="Delete"):
        traffic_of_run(record, file)


def test_a_capture_without_the_control_traffic_is_refused(captured):
    record, file = captured
    other = send_probe("127.0.0.1")
    with pytest.raises(
        CaptureError, match="shows 0 of the 1000003 bytes that were sent on purpose"
    ):
        traffic_of_run(changed(record, probes=(other,)), file)


def test_tensors_that_the_capture_did_not_see_are_an_error(captured):
    """What shared memory moves, no capture sees: such a run must not be published."""
    record, file = captured
    predicted = [
        PredictedRow(
            "decode", direction, 1, 0, size_bytes, 0, 0, framing_bytes=0, encoded_bytes=None
        )
        for direction, size_bytes in (("up", 2_000_000), ("down", 0))
    ]
    with pytest.raises(MeasurementError, match=r"says 2000000, the capture says 1000003"):
        check_counts(count_rows(record, predicted, traffic_of_run(record, file)), file)


def test_without_a_capture_the_transport_counts(tmp_path):
    record = run(capture=CaptureStatus(False, "tcpdump is not installed.", "lo"))
    rows = {(row.phase, row.direction): row for row in traffic_of_run(record, tmp_path / "none")}
    assert rows["decode", "up"].payload_bytes == 200
    assert rows["decode", "down"].payload_bytes == 100
    assert {row.source for row in rows.values()} == {"transport"}


def test_an_interface_that_is_not_there_is_named(tmp_path):
    with (
        pytest.raises(
            CaptureUnavailableError, match=r"cannot capture on 'nope0'.*capture\.interface"
        ),
        capture("nope0", tmp_path / "x.pcap"),
    ):
        pass


def test_a_killed_tcpdump_is_noticed(tmp_path):
    with capture("lo", tmp_path / "x.pcap") as running:
        os.kill(running._process.pid, signal.SIGKILL)
        running._process.wait()
        with pytest.raises(CaptureError, match="tcpdump ended in the middle"):
            running.stop()


def test_tcpdump_ends_with_its_job(tmp_path):
    with capture("lo", tmp_path / "x.pcap") as running:
        process = running._process
    assert process.poll() is not None


def test_control_traffic_is_no_longer_connected():
    sent = send_probe("127.0.0.1")
    assert sent.socket not in sockets_of(os.getpid()).connections


def test_without_a_capture_nothing_crosses_within_one_process(tmp_path):
    record = run("local", capture=CaptureStatus(False, "tcpdump is not installed.", "lo"))
    rows = traffic_of_run(record, tmp_path / "none")
    assert {(row.source, row.payload_bytes) for row in rows} == {("in process", 0)}


def test_a_strangers_bytes_at_the_sessions_port_are_named(tmp_path):
    file = tmp_path / "run.pcap"
    with socket.create_server(("127.0.0.1", 0)) as listener, capture("lo", file) as running:
        before = send_probe("127.0.0.1")
        port = listener.getsockname()[1]
        begin_ns = time.time_ns()
        with (
            socket.create_connection(("127.0.0.1", port)) as ours,
            socket.create_connection(("127.0.0.1", port)) as strangers,
        ):
            pair = SocketPair("127.0.0.1", ours.getsockname()[1], "127.0.0.1", port)
            ours.sendall(bytes(100))
            strangers.sendall(bytes(20))
            named = f"20 bytes from 127.0.0.1:{strangers.getsockname()[1]} to 127.0.0.1:{port}"
        end_ns = time.time_ns()
        after = send_probe("127.0.0.1")
        running.stop()
    record = run(
        phases=(
            phase(
                "decode",
                0,
                begin_unix_ns=begin_ns,
                end_unix_ns=end_ns,
                steps=(step(up=100, down=0),),
            ),
        ),
        client_sockets=(pair,),
        worker_sockets=(reverse_of(pair),),
        listening_ports=(port,),
        probes=(before, after),
        capture=running.status,
    )
    with pytest.raises(CaptureError, match=f"somebody else used the session's ports: {named}"):
        traffic_of_run(record, file)


@needs_a_network
def test_an_interface_that_is_down_is_named_and_not_waited_for():
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", SEND],
        env={**os.environ, "PYTHONPATH": str(PROJECT / "scripts")},
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
    )
    assert "127.0.0.1 to itself, sent to test the capture, does not get through" in done.stdout
    assert "interface is up" in done.stdout
