"""Starting, finding and stopping an experiment's server."""

import contextlib
import fcntl
import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from semgap.errors import ServerError
from semgap.server import control
from semgap.server.endpoint import ServerEndpoint

log = logging.getLogger(__name__)

_SERVER_SCRIPT = Path(__file__).parents[2] / "rpc_server.py"
_POLL_S = 0.05
# A server that ends ends its workers first, each of which gets a moment.
_END_TIMEOUT_S = 10.0
# Longer than any server takes to start or end.
_LOCK_TIMEOUT_S = 300.0


def ensure_server(endpoint: ServerEndpoint, endpoint_file: Path) -> control.Welcome:
    """Make sure that the endpoint's server runs, with the endpoint's code, and say who it is.

    A server that is gone (crash, idle time-out, reboot) or of another version of the code is
    started again with the same settings; a lock keeps two jobs from both doing so. An external
    server is only ever connected to.

    Raises:
        ServerError: it cannot be reached, or does not get ready in time.
    """
    if endpoint.settings.external:
        return _greet(endpoint)
    with _locked(endpoint_file):
        with contextlib.suppress(ServerError):
            welcome = _greet(endpoint)
            if welcome.code == endpoint.code:
                return welcome
            log.info("the running server is of another version of the code: starting it again")
            _stop(endpoint)
        _end_processes(endpoint_file)
        return _start(endpoint, endpoint_file)


def stop_server(endpoint: ServerEndpoint, endpoint_file: Path) -> None:
    """Stop the endpoint's server if it runs and is ours, whatever state it is in."""
    if endpoint.settings.external:
        return
    with _locked(endpoint_file):
        with contextlib.suppress(ServerError):
            _stop(endpoint)
            log.info("server stopped")
        if _end_processes(endpoint_file):
            log.info("a server that did not answer was ended")


def log_file_of(endpoint_file: Path) -> Path:
    """The server's own log, beside its endpoint file."""
    return endpoint_file.with_name("server.log")


def _greet(endpoint: ServerEndpoint) -> control.Welcome:
    with control.connect(endpoint) as connection:
        return control.ask(connection, control.Hello(), control.Welcome)


def _stop(endpoint: ServerEndpoint) -> None:
    with control.connect(endpoint) as connection:
        welcome = control.ask(connection, control.Hello(), control.Welcome)
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(welcome.pid)
            control.ask(connection, control.Stop(), control.Stopping)
            # It is gone, and its port free, only when its process has ended.
            select.select([process], [], [], _END_TIMEOUT_S)
            os.close(process)


def _end_processes(endpoint_file: Path) -> list[psutil.Process]:
    """End processes that serve this endpoint and cannot be asked to; returns which there were.

    Their command line tells them, since what they wrote may be gone. A worker ends with them.
    """
    serving = [
        process
        for process in psutil.process_iter(["cmdline", "cwd", "status"])
        if _serves(process, endpoint_file)
    ]
    for process in serving:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(serving, timeout=_END_TIMEOUT_S)
    return serving


def _serves(process: psutil.Process, endpoint_file: Path) -> bool:
    command, folder = process.info["cmdline"] or [], process.info["cwd"]
    if process.info["status"] == psutil.STATUS_ZOMBIE or folder is None or len(command) < 4:
        return False
    script, *arguments = command[-4:]
    return (
        Path(script).name == _SERVER_SCRIPT.name
        and arguments[:2] == ["serve", "--endpoint"]
        and Path(folder, arguments[2]).resolve() == endpoint_file.resolve()
    )


def _start(endpoint: ServerEndpoint, endpoint_file: Path) -> control.Welcome:
    log_file = log_file_of(endpoint_file)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, str(_SERVER_SCRIPT), "serve", "--endpoint", str(endpoint_file)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline_s = time.monotonic() + endpoint.settings.start_timeout_s
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise ServerError(
                f"The server ended at once: {_last_line(log_file)}", f"Its log is '{log_file}'."
            )
        with contextlib.suppress(ServerError):
            welcome = _greet(endpoint)
            if welcome.pid == process.pid:
                return welcome
        time.sleep(_POLL_S)
    process.kill()
    process.wait()
    raise ServerError(
        f"The server did not get ready within {endpoint.settings.start_timeout_s:g} s.",
        f"Raise server.start_timeout_s, or look at its log '{log_file}'.",
    )


def _last_line(log_file: Path) -> str:
    lines = log_file.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it left no message."


@contextlib.contextmanager
def _locked(endpoint_file: Path) -> Iterator[None]:
    endpoint_file.parent.mkdir(parents=True, exist_ok=True)
    with endpoint_file.with_name("server.lock").open("w") as lock:
        deadline_s = time.monotonic() + _LOCK_TIMEOUT_S
        while not _try_lock(lock.fileno()):
            if time.monotonic() > deadline_s:
                raise ServerError(
                    "Another process has been starting or stopping the server for "
                    f"{_LOCK_TIMEOUT_S:g} s.",
                    f"End it: 'fuser {lock.name}' shows which it is.",
                )
            time.sleep(_POLL_S)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
