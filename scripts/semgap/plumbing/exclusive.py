"""What one process of a machine does at a time: measuring, using a folder, starting a server.

A claim is a Unix socket in the abstract namespace: every user can make it, no file system is asked
(some have no locks), the kernel ends it with its process. Each network namespace has its own.
"""

import contextlib
import errno
import fcntl
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from semgap.errors import RunningError

MEASURING = "measuring"
_CREDENTIALS = struct.Struct("3i")  # process, user and group, as SO_PEERCRED has them
_RETRY_S = 0.05


class Claim:
    """A name that one process of this machine can hold.

    Args:
        name: what is claimed.
    """

    def __init__(self, name: str) -> None:
        self._address = f"\0semgap.{name}"
        self._socket: socket.socket | None = None

    def take(self) -> bool:
        """Hold the name until ``release`` or the end of this process; False if another has it."""
        claiming = socket.socket(socket.AF_UNIX)
        try:
            claiming.bind(self._address)
        except OSError as error:
            claiming.close()
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        claiming.listen(socket.SOMAXCONN)
        self._socket = claiming
        return True

    def release(self) -> None:
        """Let others take the name."""
        if self._socket is not None:
            self._socket.close()

    def holder(self) -> int | None:
        """The process that holds the name, None if none does, 0 if it cannot be told which."""
        with self._asking() as asking:
            return None if asking is None else _peer(asking)

    def wait(self, timeout_s: float | None, say: Callable[[int], None] = lambda _pid: None) -> bool:
        """Take the name as soon as nobody holds it; False if that takes longer than the time-out.

        Args:
            say: is told each process that is waited for.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self.take():
            left_s = None if deadline_s is None else deadline_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                return False
            with self._asking() as asking:
                if asking is None:
                    # The other one has just ended, or does not listen yet.
                    time.sleep(_RETRY_S)
                    continue
                say(_peer(asking))
                asking.settimeout(left_s)
                # Nobody answers: the connection ends with the other process's claim.
                try:
                    asking.recv(1)
                except TimeoutError:
                    return False
                except OSError:
                    time.sleep(_RETRY_S)
        return True

    @contextlib.contextmanager
    def _asking(self) -> Iterator[socket.socket | None]:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.setblocking(False)
            try:
                asking.connect(self._address)
            except ConnectionRefusedError:
                yield None
                return
            except BlockingIOError:
                # As many wait as the kernel lets: this one looks again later.
                pass
            yield asking


def _peer(connected: socket.socket) -> int:
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(credentials)[0]
    return pid


@contextlib.contextmanager
def alone_on_this_machine(say: Callable[[str], None]) -> Iterator[None]:
    """Wait until nobody else measures on this machine; others wait until the block ends.

    Args:
        say: takes what is to be told to the user, once for each process that is waited for.
    """
    claim = Claim(MEASURING)
    claim.wait(
        None,
        lambda pid: say(
            f"process {pid} measures on this machine: waiting for its end, since two measurements "
            "would disturb each other"
        ),
    )
    try:
        yield
    finally:
        claim.release()


def claim_of_folder(folder: Path, what: str) -> Claim:
    """The claim to do something in a folder, by whatever path it is reached."""
    status = folder.stat()
    return Claim(f"{what}.{status.st_dev}.{status.st_ino}")


class FolderLock:
    """Keeps two runs out of one folder, however its processes end.

    Args:
        file: is locked as well, which other machines see where the file system passes locks on.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def acquire(self) -> None:
        """Take the lock for the rest of this process's life.

        Raises:
            RunningError: another run has it.
        """
        self._file.parent.mkdir(exist_ok=True)
        self._claim = claim_of_folder(self._file.parent, "run")
        if not (self._claim.take() and self._locked()):
            raise RunningError(
                "Another run is using this folder.",
                "Wait for it, stop it, or work in a second clone.",
            )

    def _locked(self) -> bool:
        self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            # This file system has no locks; the claim keeps out whoever is on this machine.
            return True
        return True


def is_used(folder: Path) -> bool:
    """Whether a run uses the folder that has this ``.snakemake``."""
    return folder.exists() and claim_of_folder(folder, "run").holder() is not None
