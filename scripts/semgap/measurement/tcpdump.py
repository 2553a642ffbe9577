"""A tcpdump capture of one interface for one benchmark job, and traffic that proves it sees."""

import contextlib
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from semgap.errors import CaptureError
from semgap.plumbing.files import free_bytes_of, no_space_in
from semgap.plumbing.processes import describe_code, die_with_parent
from semgap.plumbing.tcp_sockets import SocketPair


class CaptureStatus(msgspec.Struct, frozen=True):
    """Whether and how a run was captured."""

    captured: bool  # whether tcpdump ran; if not, ``reason`` says why
    reason: str
    interface: str  # the captured interface
    packets: int = 0  # packets that tcpdump wrote
    dropped_packets: int = 0  # packets that the kernel dropped before tcpdump saw them


# Enough for Ethernet with VLAN tags, IPv6 with extension headers, and TCP with all its options.
_SNAPSHOT_BYTES = 96
_BUFFER_KIB = 65536
_READY_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 60.0
_CATCH_UP_S = 0.05
_BUSY_INTERFACE_S = 10.0  # long enough to read a full buffer


class CaptureUnavailableError(CaptureError):
    """This machine or this user cannot capture packets."""


class Capture:
    """A running tcpdump."""

    def __init__(self, process: subprocess.Popen[bytes], interface: str, file: Path) -> None:
        self._process = process
        self._file = file
        self._interface = interface
        self.status: CaptureStatus | None = None

    def check_running(self) -> None:
        """Raise CaptureError if tcpdump has ended by itself."""
        if self._process.poll() is not None:
            self._check_room()
            raise CaptureError(
                f"tcpdump ended in the middle of the run: it "
                f"{describe_code(self._process.returncode)}; {_rest(self._process)}",
                "Look for what killed it (memory, disk) and run again: only this job is repeated.",
            )

    def stop(self) -> None:
        """End the capture and read tcpdump's counts of packets and drops.

        Raises:
            CaptureError: tcpdump died before, or packets were dropped.
            NoSpaceError: there was no room for all packets.
        """
        self._wait_until_caught_up()
        self._process.send_signal(signal.SIGINT)
        _out, report = self._process.communicate(timeout=_STOP_TIMEOUT_S)
        self._check_room()
        packets = _count(rb"(\d+) packets? captured", report)
        dropped = _count(rb"(\d+) packets? dropped by kernel", report)
        if dropped:
            raise CaptureError(
                f"The kernel dropped {dropped} of {packets + dropped} packets before tcpdump saw "
                "them, so the byte counts would be too low.",
                "Run again on a less busy machine; only this job is repeated.",
            )
        self.status = CaptureStatus(
            captured=True,
            reason="",
            interface=self._interface,
            packets=packets,
            dropped_packets=dropped,
        )

    def _check_room(self) -> None:
        """Check that the disk is not full: tcpdump does not report failed writes."""
        if free_bytes_of(self._file.parent) == 0:
            raise no_space_in(self._file.parent)

    def _wait_until_caught_up(self) -> None:
        """Wait until tcpdump has read all packets that the kernel buffered.

        At exit, tcpdump drops unread packets and counts them nowhere. SIGUSR1 makes it print its
        packet count; a count that no longer changes means that it has caught up. Where others use
        the interface it goes on changing: what is unread after a while came after the run, or the
        capture disagrees with the sockets and is refused.
        """
        before = -1
        deadline_s = time.monotonic() + _BUSY_INTERFACE_S
        while (packets := self._packets_so_far()) != before and time.monotonic() < deadline_s:
            before = packets
            time.sleep(_CATCH_UP_S)

    def _packets_so_far(self) -> int:
        self.check_running()
        self._process.send_signal(signal.SIGUSR1)
        report = _read_until(self._process, b"dropped by kernel", _STOP_TIMEOUT_S)
        return _count(rb"(\d+) packets? captured", report)

    def kill(self) -> None:
        """Kill tcpdump if it still runs."""
        self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()


@contextlib.contextmanager
def capture(interface: str, file: Path) -> Iterator[Capture]:
    """Capture the TCP headers on ``interface`` into ``file``; ready when the block begins.

    Raises:
        CaptureUnavailableError: tcpdump is not installed, or not allowed to capture.
    """
    command = shutil.which("tcpdump", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if command is None:
        raise CaptureUnavailableError(
            "tcpdump is not installed.",
            "Install it (Debian: apt-get install tcpdump) to count bytes on the wire.",
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [
            command,
            *("-i", interface, "-w", str(file), "-n"),
            *("-s", str(_SNAPSHOT_BYTES), "-B", str(_BUFFER_KIB)),
            "--time-stamp-precision=nano",
            # Otherwise the kernel delivers packets up to a second late, and the last ones never.
            "--immediate-mode",
            # As root, tcpdump switches to its own user, who may not be allowed to write here.
            *(("-Z", "root") if os.geteuid() == 0 else ()),
            "tcp",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # Ctrl-C must not reach tcpdump: this process decides when to stop it.
        process_group=0,
        preexec_fn=die_with_parent,
    )
    running = Capture(process, interface, file)
    try:
        _wait_until_listening(process, interface)
        yield running
    finally:
        running.kill()


def _wait_until_listening(process: subprocess.Popen[bytes], interface: str) -> None:
    said = _read_until(process, b"listening on", _READY_TIMEOUT_S)
    if b"listening on" not in said:
        text = " ".join(said.decode(errors="replace").replace("tcpdump: ", "").split())
        raise CaptureUnavailableError(
            f"tcpdump cannot capture on '{interface}': {text or 'it said nothing'}.",
            "Check capture.interface ('ip link' lists them)"
            + (
                "; this container or sandbox may forbid captures to root, too: set capture.use to "
                "off, and the transport counts."
                if os.geteuid() == 0
                else "; run as root, or allow tcpdump to capture: setcap "
                "cap_net_raw,cap_net_admin+eip on its executable."
            ),
        )


def _read_until(process: subprocess.Popen[bytes], marker: bytes, timeout_s: float) -> bytes:
    """What tcpdump says until the line with ``marker`` is complete, it ends, or time is up."""
    assert process.stderr is not None
    said = b""
    deadline_s = time.monotonic() + timeout_s
    while not (marker in said and said.endswith(b"\n")):
        remaining_s = max(0.0, deadline_s - time.monotonic())
        ready, _, _ = select.select([process.stderr], [], [], remaining_s)
        chunk = os.read(process.stderr.fileno(), 4096) if ready else b""
        if not chunk:
            break
        said += chunk
    return said


def _rest(process: subprocess.Popen[bytes]) -> str:
    _out, report = process.communicate()
    return report.decode(errors="replace").strip() or "it left no message."


def _count(pattern: bytes, report: bytes) -> int:
    match = re.search(pattern, report)
    if match is None:
        raise CaptureError(
            f"tcpdump's closing report is not understood: {report!r}.", "Use tcpdump 4.99 or newer."
        )
    return int(match.group(1))


class ProbeTraffic(msgspec.Struct, frozen=True):
    """Bytes sent on purpose over the captured interface, to prove that the capture sees them."""

    socket: SocketPair
    payload_bytes: int


_PAYLOAD_BYTES = 1_000_003
_TIMEOUT_S = 20.0


def send_probe(address: str) -> ProbeTraffic:
    """Send about 1 MB over a fresh TCP connection from ``address`` to itself.

    Raises:
        CaptureError: it does not get through within ``_TIMEOUT_S``.
    """
    try:
        with socket.create_server((address, 0)) as server:
            server.settimeout(_TIMEOUT_S)
            receiver = threading.Thread(target=_drain, args=(server,), daemon=True)
            receiver.start()
            with socket.create_connection(server.getsockname(), _TIMEOUT_S) as sender:
                local_ip, local_port = sender.getsockname()[:2]
                remote_ip, remote_port = sender.getpeername()[:2]
                sender.sendall(bytes(_PAYLOAD_BYTES))
            receiver.join(_TIMEOUT_S)
    except OSError as error:
        raise CaptureError(
            f"Traffic from {address} to itself, sent to test the capture, does not get through: "
            f"{error}.",
            "Set capture.interface_address to an address of this machine, and check that its "
            "interface is up ('ip link set lo up').",
        ) from error
    return ProbeTraffic(
        SocketPair(local_ip, local_port, remote_ip, remote_port), payload_bytes=_PAYLOAD_BYTES
    )


def _drain(server: socket.socket) -> None:
    # The sender meets the same failure and reports it.
    with contextlib.suppress(OSError):
        connection, _peer = server.accept()
        connection.settimeout(_TIMEOUT_S)
        with connection:
            while connection.recv(1 << 20):
                pass
