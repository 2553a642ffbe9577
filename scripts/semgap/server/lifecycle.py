"""Starting, finding and stopping an experiment's server."""

from __future__ import annotations

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

from semgap.errors import ServerError
from semgap.records import ServerEndpoint
from semgap.server import control

log = logging.getLogger(__name__)

_SERVER_SCRIPT = Path(__file__).parents[2] / "rpc_server.py"
_POLL_S = 0.05


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
        return _start(endpoint, endpoint_file)


def stop_server(endpoint: ServerEndpoint, endpoint_file: Path) -> None:
    """Stop the endpoint's server if it runs and is ours."""
    if endpoint.settings.external:
        return
    with _locked(endpoint_file), contextlib.suppress(ServerError):
        _stop(endpoint)
        log.info("server stopped")


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
            select.select([process], [], [], endpoint.settings.start_timeout_s)
            os.close(process)


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
                f"The server ended at once: {_last_line(log_file)}",
                f"Its log is '{log_file}'.",
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
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
