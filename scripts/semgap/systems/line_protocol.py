"""The line protocol: each request is a line of JSON on a program's standard input, and each reply
one on its standard output. What it prints on its standard error is kept for messages.
"""

import contextlib
import os
import select
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from semgap.errors import ExternalSystemError
from semgap.plumbing.processes import describe_code, die_with_parent

PROTOCOL = 1

_END_TIMEOUT_S = 5.0
_READ_BYTES = 1 << 20
_SHOWN = 200

_TokenId = Annotated[int, Meta(ge=0)]


class Request(msgspec.Struct, frozen=True, tag_field="do"):
    """What a program is asked, one after the other."""


class Describe(Request, frozen=True, tag="describe"):
    """Say who you are; the first request."""

    protocol: int = PROTOCOL


class Setup(Request, frozen=True, tag="setup"):
    """Get ready: build the model, connect, bring weights to where they stay."""

    model: str  # folder with config.json and safetensors, as transformers reads it
    host: str | None  # where the system's server listens; null without one
    port: int | None
    device: str  # cpu or cuda, of what computes
    threads: int  # of an operator on a CPU
    positions: int  # the most that prompt and generated tokens have together


class Prefill(Request, frozen=True, tag="prefill"):
    """Forget the last generation and begin another one with these tokens."""

    tokens: tuple[int, ...]


class Decode(Request, frozen=True, tag="decode"):
    """Extend the generation by one token."""

    token: int


class Logits(Request, frozen=True, tag="logits"):
    """Give the logits of the generation's last position after each step; asked untimed."""


class Close(Request, frozen=True, tag="close"):
    """Let go of everything and end."""


class Described(msgspec.Struct, frozen=True):
    """The reply to describe."""

    name: str  # with a version, as a reader would look for it
    protocol: int


class Ready(msgspec.Struct, frozen=True):
    """The reply to setup and close: {}."""


class Token(msgspec.Struct, frozen=True):
    """The reply to prefill and decode: the likeliest next token."""

    token: _TokenId


class GivenLogits(msgspec.Struct, frozen=True):
    """The reply to logits: for each step as many numbers as the model has tokens."""

    logits: list[list[float]]


class Refused(msgspec.Struct, frozen=True):
    """The reply to anything that cannot be done."""

    error: str


REQUESTS = (Describe, Setup, Prefill, Decode, Logits, Close)
REPLIES = (Described, Ready, Token, GivenLogits, Refused)

Reply = TypeVar("Reply")


class Adapter:
    """A running program that speaks the protocol.

    Raises:
        ExternalSystemError: from each method, where the program ends, does not answer in time,
            refuses, or answers something else.

    Attributes:
        timeout_s: longest wait for one reply.
    """

    def __init__(self, process: subprocess.Popen[bytes], timeout_s: float) -> None:
        self._process = process
        self.timeout_s = timeout_s
        self._received = b""

    @property
    def pid(self) -> int:
        """The program's process ID."""
        return self._process.pid

    def ask(self, request: Request, reply_type: type[Reply]) -> Reply:
        """Send a request and wait for its reply."""
        name = str(request.__struct_config__.tag)
        line = self._exchange(msgspec.json.encode(request) + b"\n", name)
        try:
            return msgspec.json.decode(line, type=reply_type)
        except msgspec.MsgspecError as error:
            with contextlib.suppress(msgspec.MsgspecError):
                refused = msgspec.json.decode(line, type=Refused)
                raise _failed(f"refused '{name}': {refused.error}") from None
            shown = line[:_SHOWN].decode(errors="replace").strip()
            raise _failed(f"answered '{name}' with '{shown}', which is no reply: {error}") from None

    def _exchange(self, line: bytes, name: str) -> bytes:
        assert self._process.stdin is not None, "it has a pipe"
        try:
            self._process.stdin.write(line)
        except OSError:
            raise self._ended(name) from None
        return self._read_line(name)

    def _read_line(self, name: str) -> bytes:
        assert self._process.stdout is not None, "it has a pipe"
        descriptor = self._process.stdout.fileno()
        deadline_s = time.monotonic() + self.timeout_s
        parts = [self._received]
        while b"\n" not in parts[-1]:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
                raise _failed(f"did not answer '{name}' within {self.timeout_s:g} s")
            parts.append(os.read(descriptor, _READ_BYTES))
            if not parts[-1]:
                raise self._ended(name)
        line, _, self._received = b"".join(parts).partition(b"\n")
        return line

    def _ended(self, name: str) -> ExternalSystemError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(_END_TIMEOUT_S)
            return _failed(f"{describe_code(code)} when it was asked '{name}'")
        return _failed(f"closed its output when it was asked '{name}'")


@contextlib.contextmanager
def started_adapter(command: Sequence[str], timeout_s: float) -> Iterator[Adapter]:
    """Start a program; it is killed as the block ends, unless it has ended itself.

    Raises:
        ExternalSystemError: it cannot be started, or something in the block raised that; with what
            it said last.
    """
    with tempfile.TemporaryFile() as said, contextlib.ExitStack() as stack:
        try:
            process = stack.enter_context(
                subprocess.Popen(
                    command,
                    bufsize=0,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    process_group=0,
                    preexec_fn=die_with_parent,
                )
            )
        except OSError as error:
            raise _failed(f"'{shlex.join(command)}' cannot be started: {error}") from error
        stack.callback(_end, process)
        try:
            yield Adapter(process, timeout_s)
        except ExternalSystemError as error:
            _end(process)
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            last = f" It said last: {lines[-1]}." if lines else ""
            raise ExternalSystemError(f"{error.cause}{last}", error.remedy) from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _failed(what: str) -> ExternalSystemError:
    return ExternalSystemError(
        f"The system's program {what}.",
        "docs/systems.md shows the protocol, and how to speak it by hand.",
    )
