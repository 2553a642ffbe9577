"""Process lifetimes: nothing that a run starts may outlive it."""

import ctypes
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path

import filelock

from semgap.errors import RunningError

OWNER_VARIABLE = "SEMGAP_OWNER_PID"
_PR_SET_PDEATHSIG = 1
# About 0.1 ms: longer than most gaps between two operators, shorter than that between two passes.
_IDLE_ROUNDS = "12000"
_INTERRUPT_GRACE_S = 5.0
_INTERRUPTED = 130
# transformers makes classes out of its docstrings; scripts import the library that is beside them.
_HARMFUL = ("PYTHONOPTIMIZE", "PYTHONSAFEPATH")


def die_with_parent(signal_number: int = signal.SIGKILL) -> None:
    """Let the kernel signal this process when the thread that started it ends (prctl(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def yield_idle_cores() -> None:
    """Let OpenMP's threads sleep soon after they have computed; call before importing torch.

    By default they spin for milliseconds to wait for the next operator. After a pass, the other
    side of the session needs the core.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", _IDLE_ROUNDS)


def adopt_jobs(scripts: Path) -> None:
    """Make this process, the workflow engine, the owner of all that its jobs start.

    Jobs then run with the interpreter that runs this process, whether or not its environment is
    activated, and find their scripts from any folder. A job that the engine starts in a process of
    its own inherits all of it.

    Args:
        scripts: folder of the jobs' scripts, for ``SEMGAP_SCRIPTS``.
    """
    os.environ["SEMGAP_SCRIPTS"] = str(scripts)
    for variable in _HARMFUL:
        os.environ.pop(variable, None)
    if OWNER_VARIABLE not in os.environ:
        os.environ[OWNER_VARIABLE] = str(os.getpid())
        own_executables = str(Path(sys.executable).parent)
        inherited = os.environ.get("PATH", os.defpath)
        os.environ["PATH"] = os.pathsep.join((own_executables, inherited))


def open_owner() -> int | None:
    """Return a pidfd of the workflow engine that this process works for, or None by hand.

    The pidfd becomes readable when that process is gone.
    """
    owner = os.environ.get(OWNER_VARIABLE)
    if owner is None:
        return None
    try:
        return os.pidfd_open(int(owner))
    except ProcessLookupError:
        # Gone already: a closed pipe is as readable as the pidfd of a dead process.
        reader, writer = os.pipe()
        os.close(writer)
        return reader


def end_with_owner() -> None:
    """End this process, as Ctrl-C would, on SIGTERM and when the workflow engine is killed.

    SIGINT itself would not do: a shell starts background jobs with SIGINT ignored.
    """

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    owner = open_owner()
    if owner is None:
        return

    def watch() -> None:
        select.select([owner], [], [])
        os.kill(os.getpid(), signal.SIGTERM)
        # A main thread that waits inside a library does not see the interrupt; what it started
        # ends with this process anyway.
        time.sleep(_INTERRUPT_GRACE_S)
        os._exit(_INTERRUPTED)

    threading.Thread(target=watch, name="owner-watch", daemon=True).start()


class FolderLock:
    """Keeps two runs out of one folder; the kernel releases it however its process ends."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(exist_ok=True)
        self._lock = filelock.FileLock(file)

    def acquire(self) -> None:
        """Take the lock for the rest of this process's life.

        Raises:
            RunningError: another run has it.
        """
        try:
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            raise RunningError(
                "Another run is using this folder.",
                "Wait for it, stop it, or work in a second clone.",
            ) from None


def threads_or_all_cores(threads: int) -> int:
    """Return ``threads``, or the number of cores this process may use where it is 0."""
    return threads or len(os.sched_getaffinity(0))


def describe_exit(status: int) -> str:
    """Say how a process ended, from ``os.waitpid``'s status."""
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL; on a machine short of memory the kernel does that)"
    if code < 0:
        return f"died of {signal.Signals(-code).name}"
    return f"exited with status {code}"
