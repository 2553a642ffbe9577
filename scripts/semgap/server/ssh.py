"""A server on another machine, which lives as long as an SSH connection to it."""

import io
import logging
import shlex
import signal
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO

import msgspec

from semgap.errors import ServerError
from semgap.plumbing.processes import die_with_parent
from semgap.server.control import write_run_time
from semgap.server.endpoint import RunTime, ServerEndpoint, SshTarget

log = logging.getLogger(__name__)

# Nobody is there to answer a question, and a machine that is gone must be noticed.
_OPTIONS = ("-T", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15")


def command_there(target: SshTarget, *arguments: str) -> list[str]:
    """A command that runs another one on another machine, in the project's folder there."""
    there = f"cd {shlex.quote(target.project)} && exec {shlex.join(arguments)}"
    return ["ssh", *_OPTIONS, *target.options, target.destination, there]


def check_there(target: SshTarget) -> None:
    """Raise a ServerError unless the project's scripts can be run on another machine."""
    _answer(target, [target.python, "scripts/rpc_server.py", "--help"])


def serve_there(endpoint: ServerEndpoint, code: str) -> None:
    """Start a server on the endpoint's other machine, and end with it, and it with this process.

    It is described on its standard input, which this process holds open. Where it listens, it says
    on its standard output; what it logs is this process's standard error.

    Args:
        code: fingerprint that the checkout there must have.
    """
    target = endpoint.settings.ssh
    assert target is not None, "the configuration is refused without it"
    with subprocess.Popen(
        command_there(target, target.python, "scripts/rpc_server.py", "attend", "--code", code),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=partial(die_with_parent, signal.SIGTERM),
    ) as connection:
        assert connection.stdin is not None and connection.stdout is not None, "they are pipes"
        connection.stdin.write(msgspec.json.encode(endpoint) + b"\n")
        connection.stdin.flush()
        for line in connection.stdout:
            try:
                run_time = msgspec.json.decode(line, type=RunTime)
            except msgspec.DecodeError:
                log.info("said there: %s", line.decode(errors="replace").rstrip())
            else:
                write_run_time(Path(endpoint.run_time_file), run_time)
    # What is logged last stays what says why.
    sys.exit(connection.returncode)


def run_there(
    target: SshTarget,
    script: str,
    said: Mapping[str, str],
    sent: Mapping[str, Path],
    written: Mapping[str, Path],
) -> None:
    """Run one of the project's scripts on another machine, with this one's files.

    All files have the same path there, below the project's folder.

    Args:
        said, sent, written: the script's flags. The folder ``weights`` is sent where ``manifest``,
            which describes it, is another one there.

    Raises:
        ServerError: the machine cannot be reached, or the script failed there.
    """
    manifest = sent["manifest"]
    compared = ["cmp", "-s", "-", str(manifest)]
    with manifest.open("rb") as ours:
        known = subprocess.run(command_there(target, *compared), stdin=ours).returncode == 0
    small = [file for name, file in sent.items() if name != "weights"]
    for files in (small,) if known else ([sent["weights"]], small):
        with subprocess.Popen(["tar", "-c", *map(str, files)], stdout=subprocess.PIPE) as packed:
            _answer(target, ["tar", "-x"], packed.stdout)
    flags = {**said, **sent, **written}
    named = [text for name, value in flags.items() for text in (f"--{name}", str(value))]
    _answer(target, [target.python, script, *named])
    fetched = _answer(target, ["tar", "-c", *map(str, written.values())])
    with tarfile.open(fileobj=io.BytesIO(fetched)) as archive:
        archive.extractall(filter="data")


def _answer(target: SshTarget, command: Sequence[str], stdin: IO[bytes] | None = None) -> bytes:
    done = subprocess.run(
        command_there(target, *command), stdin=stdin or subprocess.DEVNULL, capture_output=True
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
        raise ServerError(
            f"On {target.destination}, '{Path(command[0]).name}' failed and said: {said[-1]}",
            "Bring the checkout there to this one's commit, look at the configuration's "
            "server.ssh, and run again.",
        )
    return done.stdout
