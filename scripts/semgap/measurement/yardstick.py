"""What this machine's memory and sockets carry at the moment: the measure for a step's spans."""

import socket
import threading
import time
from collections.abc import Callable

import msgspec
import numpy as np

_BYTES = 1 << 26
_TRIES = 3


class Yardstick(msgspec.Struct, frozen=True):
    """The best of some tries, each of 64 MB."""

    copy_bytes_per_s: float  # from memory to memory, by one thread
    socket_bytes_per_s: float  # through one TCP connection of this machine with itself


def measure_yardstick(address: str) -> Yardstick:
    """Time plain copies, and plain sockets from ``address`` to itself.

    Raises:
        OSError: a connection is not possible.
    """
    source, target = np.ones(_BYTES, dtype=np.uint8), np.ones(_BYTES, dtype=np.uint8)
    with (
        socket.create_server((address, 0)) as server,
        socket.create_connection(server.getsockname()) as sender,
        server.accept()[0] as receiver,
    ):
        return Yardstick(
            _best(lambda: np.copyto(target, source)),
            _best(lambda: _cross(sender, source, receiver, target)),
        )


def _best(move: Callable[[], None]) -> float:
    taken_s = []
    for _try in range(_TRIES):
        begin_s = time.perf_counter()
        move()
        taken_s.append(time.perf_counter() - begin_s)
    return _BYTES / min(taken_s)


def _cross(
    sender: socket.socket, source: np.ndarray, receiver: socket.socket, target: np.ndarray
) -> None:
    sending = threading.Thread(target=sender.sendall, args=(source,))
    sending.start()
    into = memoryview(target.data)
    while into:
        into = into[receiver.recv_into(into) :]
    sending.join()
