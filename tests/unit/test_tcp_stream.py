"""A stream may look for what comes instead of sleeping; what comes is the same."""

import socket
import threading
import time

import pytest

from semgap.errors import WorkerLostError
from semgap.protocol import Ping
from semgap.transport import RequestMessage, Timeouts
from semgap.transport.tcp import connect
from semgap.transport.tcp_parts.tcp_stream import TcpStream

WAIT_S = 0.3
MESSAGE = bytes(range(256)) * 40  # more than is read ahead


def connected():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far


def received_late(poll_s, pieces):
    """Receive a message of which each piece is late, and what processor time that takes (s)."""
    near, far = connected()

    def send():
        for piece in pieces:
            time.sleep(WAIT_S)
            far.sendall(piece)

    stream = TcpStream(near, timeout_s=10, poll_s=poll_s)
    sender = threading.Thread(target=send)
    with far:
        sender.start()
        begin_s = time.thread_time()
        head = stream.receive(10)
        rest = bytearray(len(MESSAGE) - len(head))
        stream.receive_into(rest, len(rest))
        taken_s = time.thread_time() - begin_s
        sender.join()
    stream.close()
    return head + bytes(rest), taken_s


@pytest.mark.parametrize("cut", [0, 5000])
def test_who_polls_is_awake_while_a_message_or_its_rest_is_late(cut):
    pieces = [MESSAGE[:cut], MESSAGE[cut:]]
    asleep, awake = received_late(0.0, pieces), received_late(5.0, pieces)
    assert asleep[0] == awake[0] == MESSAGE
    # A busy machine gives whoever polls less than a core.
    assert asleep[1] < 0.1 * WAIT_S < awake[1]


def test_who_polls_sleeps_in_the_end():
    _message, taken_s = received_late(0.01, [b"", MESSAGE])
    assert taken_s < 0.2 * WAIT_S


@pytest.mark.parametrize("poll_s", [0.0, 5.0])
def test_a_connection_that_ends_within_a_message_is_lost(poll_s):
    near, far = connected()
    stream = TcpStream(near, timeout_s=10, poll_s=poll_s)
    with far:
        far.sendall(MESSAGE[:5000])
    assert stream.receive(10) == MESSAGE[:10]
    with pytest.raises(WorkerLostError, match="within a message"):
        stream.receive_into(bytearray(len(MESSAGE)), len(MESSAGE))
    stream.close()


@pytest.mark.parametrize("poll_s", [0.0, 5.0])
def test_a_client_is_awake_as_long_as_it_was_told(poll_s):
    """The worker hangs up late."""

    def hang_up_late(listener):
        worker, _ = listener.accept()
        with worker:
            time.sleep(WAIT_S)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        late = threading.Thread(target=hang_up_late, args=(listener,))
        late.start()
        channel = connect(*listener.getsockname(), Timeouts(5.0, 5.0, poll_s))
        begin_s = time.thread_time()
        with pytest.raises(WorkerLostError):
            channel.request(RequestMessage(Ping(0), {}))
        taken_s = time.thread_time() - begin_s
        late.join()
    channel.close()
    assert (taken_s > 0.1 * WAIT_S) == bool(poll_s)
