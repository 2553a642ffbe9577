"""Instruments that do not see, or do not say, what crossed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from planting import spoils

# Says that it listens, and does so once its file is there.
_LATE = 'echo "listening on" >&2; until [ -e "$0" ]; do sleep 0.05; done; exec "$@"'
_STARTED_S = 1.0
_MORE_CONTROL = 20
# A page; tcpdump takes no smaller one.
_TINY_BUFFER_KIB = 4


@spoils("semgap.meters.capture", "capture_of_another_port")
def capture_another_port(capture):
    _change_command(capture, lambda command: [*command[:-1], "tcp port 9"])


@spoils("semgap.meters.capture", "capture_started_late")
def listen_once_the_file_is_there(capture):
    def late(command):
        file = Path(command[command.index("-w") + 1])
        return ["sh", "-c", _LATE, str(_go_file(file)), *command]

    _change_command(capture, late)


@spoils("semgap.benchmark", "capture_started_late")
def start_to_listen_after_the_first_control(benchmark):
    files = []
    capture, send_control_traffic = benchmark.capture, benchmark.send_control_traffic

    def capture_into(interface, file):
        files.append(_go_file(file))
        return capture(interface, file)

    def send_and_start(address):
        sent = send_control_traffic(address)
        if not files[0].exists():
            files[0].touch()
            time.sleep(_STARTED_S)
        return sent

    benchmark.capture, benchmark.send_control_traffic = capture_into, send_and_start


def _go_file(capture_file):
    return Path(f"{capture_file}.go")


@spoils("semgap.benchmark", "capture_stopped_early")
def stop_the_capture_before_the_last_control(benchmark):
    running = []
    sent = []
    capture, send_control_traffic = benchmark.capture, benchmark.send_control_traffic

    @contextlib.contextmanager
    def remembered(interface, file):
        with capture(interface, file) as started:
            running.append(started)
            # The job asks for the processor time of tcpdump when that has ended.
            type(started).pid = os.getpid()
            yield started

    def stop_and_send(address):
        if sent:
            running[0].stop()
            running[0].stop = lambda: None
        sent.append(send_control_traffic(address))
        return sent[-1]

    benchmark.capture, benchmark.send_control_traffic = remembered, stop_and_send


@spoils("semgap.meters.capture", "packets_dropped")
def capture_through_a_tiny_buffer(capture):
    capture._BUFFER_KIB = _TINY_BUFFER_KIB


@spoils("semgap.benchmark", "packets_dropped")
def send_while_nobody_reads_the_buffer(benchmark):
    pids = []
    capture, send_control_traffic = benchmark.capture, benchmark.send_control_traffic

    @contextlib.contextmanager
    def remembered(interface, file):
        with capture(interface, file) as started:
            pids.append(started.pid)
            yield started

    def send_unread(address):
        os.kill(pids[0], signal.SIGSTOP)
        for _ in range(_MORE_CONTROL):
            send_control_traffic(address)
        os.kill(pids[0], signal.SIGCONT)
        return send_control_traffic(address)

    benchmark.capture, benchmark.send_control_traffic = remembered, send_unread


def _change_command(capture, changed):
    class Subprocess:
        """The module ``subprocess`` with another command in the place of tcpdump's."""

        @staticmethod
        def Popen(command, **others):  # noqa: N802 - the name of what it stands for
            return subprocess.Popen(changed(command), **others)

        def __getattr__(self, name):
            return getattr(subprocess, name)

    capture.subprocess = Subprocess()


@spoils("semgap.meters.socket_counters", "kernel_counts_nothing")
def find_no_sockets(socket_counters):
    socket_counters.OwnSockets.find = classmethod(lambda own_sockets: own_sockets({}))


@spoils("semgap.meters.wire", "directions_swapped")
def swap_directions(wire):
    _change_socket_table(wire, lambda table: wire._SocketTable(table.downward, table.upward))


@spoils("semgap.meters.wire", "one_direction_counted")
def count_what_goes_up(wire):
    _change_socket_table(wire, lambda table: wire._SocketTable(table.upward, frozenset()))


def _change_socket_table(wire, changed):
    of_session = wire._SocketTable.of_session
    wire._SocketTable.of_session = lambda record: changed(of_session(record))


@spoils("semgap.meters.wire", "size_of_the_file")
def take_the_size_of_the_file(wire):
    traffic_of_run = wire.traffic_of_run

    def size_of_file(record, capture_file):
        size_bytes = capture_file.stat().st_size
        return [
            msgspec.structs.replace(row, payload_bytes=size_bytes)
            for row in traffic_of_run(record, capture_file)
        ]

    wire.traffic_of_run = size_of_file


@spoils("semgap.meters.wire", "segments_lost")
def lose_every_tenth_segment(wire):
    read_tcp_segments = wire.read_tcp_segments

    def read_most(file):
        for batch in read_tcp_segments(file):
            kept = [at % 10 > 0 for at in range(len(batch.seq))]
            columns = {
                name: values[kept]
                for name, values in vars(batch).items()
                if isinstance(values, np.ndarray)
            }
            yield replace(batch, **columns)

    wire.read_tcp_segments = read_most
