"""What tools of the system say, where they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_TIMEOUT_S = 10.0


class Answer(NamedTuple):
    """What a command said.

    Attributes:
        output: its standard output; None if it is not installed, failed, or took too long.
        problem: why there is no output.
    """

    output: str | None
    problem: str


def ask(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Answer:
    """Run a command that only reads.

    Args:
        environment: instead of this process's own.
    """
    # Tools of the system are often not on the path of users other than root.
    tool = shutil.which(command[0], path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if tool is None:
        return Answer(None, f"{command[0]} is not installed")
    try:
        done = subprocess.run(
            [tool, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Answer(None, f"{command[0]} failed: {type(error).__name__}")
    if done.returncode != 0:
        said = " ".join(done.stderr.split())
        return Answer(None, f"{command[0]} failed: {said or f'status {done.returncode}'}")
    return Answer(done.stdout.strip(), "")
