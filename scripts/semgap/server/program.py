"""A server of somebody else's, run as the far side of a session."""

import logging
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from semgap.errors import ServerError
from semgap.plumbing.processes import describe_code, die_with_parent
from semgap.plumbing.tcp_sockets import free_port, sockets_of

log = logging.getLogger(__name__)

_LOOK_S = 0.02


def run_program(
    command: Sequence[str], host: str, start_timeout_s: float, say_ready: Callable[[int, int], None]
) -> NoReturn:
    """Run a command for as long as it lasts; its output is this process's.

    Args:
        command: {host} and {port} stand for where it shall listen.
        say_ready: called with its process ID and port once it listens.

    Raises:
        ServerError: it cannot be started, does not listen in time, or has ended.
    """
    port = free_port(host)
    filled = [word.replace("{host}", host).replace("{port}", str(port)) for word in command]
    shown = shlex.join(filled)
    remedy = "What it printed is in the server's log."
    try:
        process = subprocess.Popen(filled, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
    except OSError as error:
        raise ServerError(f"'{shown}' cannot be started: {error}.", "Correct 'server'.") from error
    log.info("process %s is '%s'", process.pid, shown)
    deadline_s = time.monotonic() + start_timeout_s
    while process.poll() is None and port not in sockets_of(process.pid).listening_ports:
        if time.monotonic() > deadline_s:
            raise ServerError(
                f"'{shown}' did not listen at {host}:{port} within {start_timeout_s:g} s.", remedy
            )
        time.sleep(_LOOK_S)
    if process.poll() is None:
        say_ready(process.pid, port)
    raise ServerError(f"'{shown}' {describe_code(process.wait())}.", remedy)
