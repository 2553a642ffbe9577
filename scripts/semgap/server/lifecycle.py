"""Starting, finding and stopping an experiment's server."""

import contextlib
import logging
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
import psutil

from semgap.errors import ServerError
from semgap.plumbing.exclusive import claim_of_folder
from semgap.plumbing.processes import open_exit
from semgap.plumbing.versions import Versions, versions
from semgap.server import control
from semgap.server.endpoint import ServerEndpoint, ServerSettings
from semgap.server.network_namespace import start_in_namespace

log = logging.getLogger(__name__)

_SERVER_SCRIPT = Path(__file__).parents[2] / "rpc_server.py"
_POLL_S = 0.05
# A server that is asked to end needs a moment; one that is stopped never hears of it.
_END_TIMEOUT_S = 3.0
# Longer than any server takes to start or end.
_LOCK_TIMEOUT_S = 300.0


def ensure_server(endpoint: ServerEndpoint, endpoint_file: Path) -> control.Welcome:
    """Make sure that a server runs which is what the endpoint says, and return its answer.

    A server that is gone (crash, idle time-out, reboot) or was started for something else is
    started again; a lock keeps two jobs from both doing so. An external server is only ever
    connected to.

    Raises:
        ServerError: it cannot be reached, does not get ready in time, or is external and was
            started for something else.
    """
    if endpoint.settings.launch == "external":
        return _greet_external(endpoint, endpoint_file)
    with _locked(endpoint_file):
        with contextlib.suppress(ServerError):
            welcome = _greet(endpoint)
            misfit = _misfit(welcome, endpoint)
            if misfit is None:
                return welcome
            log.info("the running server %s: starting it again", misfit)
        _end_processes(endpoint_file)
        return _start(endpoint, endpoint_file)


def stop_server(endpoint: ServerEndpoint, endpoint_file: Path) -> None:
    """Stop the endpoint's server if it runs and is ours, whatever state it is in."""
    if endpoint.settings.launch != "external":
        with _locked(endpoint_file):
            if _end_processes(endpoint_file):
                log.info("server stopped")


def how_to_start(endpoint_file: Path) -> str:
    """What the user of an external server is told."""
    command = shlex.join([sys.executable, *_serve_command(endpoint_file)])
    return f"server.launch is external, so you start the server, in this folder: {command}"


def log_file_of(endpoint_file: Path) -> Path:
    """The server's own log, beside its endpoint file."""
    return endpoint_file.with_name("server.log")


def _greet(endpoint: ServerEndpoint) -> control.Welcome:
    with control.connect(endpoint) as connection:
        return control.ask(connection, control.Hello(), control.Welcome)


def _greet_external(endpoint: ServerEndpoint, endpoint_file: Path) -> control.Welcome:
    start_it = how_to_start(endpoint_file)
    try:
        welcome = _greet(endpoint)
    except ServerError as error:
        raise ServerError(error.cause, f"{error.remedy} {start_it}") from error
    misfit = _misfit(welcome, endpoint)
    if misfit is not None:
        raise ServerError(f"The external server {misfit}.", f"Stop it. {start_it}")
    return welcome


def _misfit(welcome: control.Welcome, endpoint: ServerEndpoint) -> str | None:
    """What keeps a server from serving this endpoint, if anything does."""
    here = versions()
    if welcome.endpoint != endpoint:
        return "was started with other settings or code"
    if welcome.versions != here:
        return f"has loaded {_shown(welcome.versions)}, and this process {_shown(here)}"
    return None


def _shown(them: Versions) -> str:
    return ", ".join(f"{name} {version}" for name, version in msgspec.structs.asdict(them).items())


def _end_processes(endpoint_file: Path) -> bool:
    """End the processes that serve this endpoint; returns whether there were any.

    Their command line tells them, since what they wrote may be gone. A worker ends with them.
    """
    serving = [
        process.pid
        for process in psutil.process_iter(["cmdline", "cwd", "status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE and _serves(process.info, endpoint_file)
    ]
    for pid in serving:
        with contextlib.suppress(ProcessLookupError):
            _end_process(pid)
    return bool(serving)


def _end_process(pid: int) -> None:
    exited = open_exit(pid)
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            os.kill(pid, number)
            # It is readable once the process has ended, even if nobody has reaped it yet.
            if select.select([exited], [], [], _END_TIMEOUT_S)[0]:
                return
    finally:
        os.close(exited)


def _serves(info: Mapping[str, Any], endpoint_file: Path) -> bool:
    match info["cmdline"]:
        case [*_, script, "serve", "--endpoint", file] if info["cwd"] is not None:
            named = Path(info["cwd"], file).resolve() == endpoint_file.resolve()
            return named and Path(script).name == _SERVER_SCRIPT.name
    return False


def _start(endpoint: ServerEndpoint, endpoint_file: Path) -> control.Welcome:
    log_file = log_file_of(endpoint_file)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as output:
        # Who answers from now on is who is started here.
        Path(endpoint.run_time_file).unlink(missing_ok=True)
        command = [sys.executable, *_serve_command(endpoint_file)]
        process = _LAUNCHERS[endpoint.settings.launch](command, endpoint.settings, output)
    deadline_s = time.monotonic() + endpoint.settings.start_timeout_s
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise ServerError(
                f"The server ended at once: {_last_line(log_file)}", f"Its log is '{log_file}'."
            )
        with contextlib.suppress(ServerError):
            return _greet(endpoint)
        time.sleep(_POLL_S)
    process.kill()
    process.wait()
    raise ServerError(
        f"The server did not get ready within {endpoint.settings.start_timeout_s:g} s.",
        f"Raise server.start_timeout_s, or look at its log '{log_file}'.",
    )


def _start_here(
    command: Sequence[str], _settings: ServerSettings, output: IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
    )


# Behind a process here, `serve` starts a server on another machine.
_LAUNCHERS = {"local": _start_here, "ssh": _start_here, "namespace": start_in_namespace}


def _serve_command(endpoint_file: Path) -> list[str]:
    return [str(_SERVER_SCRIPT), "serve", "--endpoint", str(endpoint_file)]


def _last_line(log_file: Path) -> str:
    lines = log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it left no message."


@contextlib.contextmanager
def _locked(endpoint_file: Path) -> Iterator[None]:
    endpoint_file.parent.mkdir(parents=True, exist_ok=True)
    claim = claim_of_folder(endpoint_file.parent, "server")
    if not claim.wait(_LOCK_TIMEOUT_S):
        raise ServerError(
            f"Process {claim.holder()} has been starting or stopping the server for "
            f"{_LOCK_TIMEOUT_S:g} s.",
            "End it, and run again.",
        )
    try:
        yield
    finally:
        claim.release()
