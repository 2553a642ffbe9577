"""Process lifetimes: nothing that a run starts may outlive it."""

import ctypes
import errno
import os
import pwd
import select
import signal
import sys
import threading
import time
from pathlib import Path

import psutil

OWNER_VARIABLE = "SEMGAP_OWNER_PID"
_PR_SET_PDEATHSIG = 1
# About 0.1 ms: longer than most gaps between two operators, shorter than that between two passes.
_IDLE_ROUNDS = "12000"
_INTERRUPT_GRACE_S = 5.0
_INTERRUPTED = 130
# Between two looks at a process where the kernel has no pidfd.
_LOOK_S = 0.1
# transformers makes classes out of its docstrings; scripts import the library that is beside them;
# no warning of a library is an error.
_HARMFUL = ("PYTHONOPTIMIZE", "PYTHONSAFEPATH", "PYTHONWARNINGS")


def die_with_parent(signal_number: int = signal.SIGKILL) -> None:
    """Let the kernel signal this process when the thread that started it ends (prctl(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def forget_preferences() -> None:
    """Draw figures as matplotlib does by itself, whatever its user has set; call before importing.

    A notebook's MPLBACKEND names a module that jobs do not have, and a matplotlibrc another look.
    """
    os.environ["MPLBACKEND"] = "agg"
    os.environ["MATPLOTLIBRC"] = os.devnull


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
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        # A container's user without a name; Snakemake and PyTorch ask for one.
        os.environ.setdefault("LOGNAME", f"user-{os.getuid()}")
    for variable in _HARMFUL:
        os.environ.pop(variable, None)
    owner = os.environ.get(OWNER_VARIABLE)
    # A cluster's job inherits the variable, and its owner runs on another machine.
    if owner is None or int(owner) not in (one.pid for one in psutil.Process().parents()):
        os.environ[OWNER_VARIABLE] = str(os.getpid())
        own_executables = str(Path(sys.executable).parent)
        inherited = os.environ.get("PATH", os.defpath)
        os.environ["PATH"] = os.pathsep.join((own_executables, inherited))


def open_exit(pid: int) -> int:
    """Return a descriptor that becomes readable when a process has ended, reaped or not.

    It is a pidfd where the kernel has them (Linux 5.3) and lets this process open one.

    Raises:
        ProcessLookupError: there is no such process.
    """
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
    reader, writer = os.pipe()

    def watch() -> None:
        while not has_ended(pid):
            time.sleep(_LOOK_S)
        # Closing the pipe would not do: a forked process may have a copy of its end.
        os.write(writer, b"x")
        os.close(writer)

    threading.Thread(target=watch, name=f"exit-of-{pid}", daemon=True).start()
    return reader


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or waits for nothing but its parent to hear of it."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def open_owner() -> int | None:
    """Return ``open_exit`` of the workflow engine that this process works for, None by hand."""
    owner = os.environ.get(OWNER_VARIABLE)
    if owner is None:
        return None
    try:
        return open_exit(int(owner))
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


def describe_exit(status: int) -> str:
    """Say how a process ended, from ``os.waitpid``'s status."""
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL; on a machine short of memory the kernel does that)"
    return describe_code(code)


def describe_code(code: int) -> str:
    """Say how a process ended, from ``subprocess``'s return code."""
    if code == -signal.SIGXFSZ:
        return "died of SIGXFSZ: a file grew beyond the limit of this shell ('ulimit -f')"
    if code < 0:
        return f"died of {signal.Signals(-code).name}"
    return f"exited with status {code}"
