"""What all scripts share: flags, one clear paragraph on failure, the traceback in a log."""

import argparse
import errno
import inspect
import logging
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec

from semgap.errors import SemgapError
from semgap.plumbing.files import NO_SPACE
from semgap.plumbing.processes import end_with_owner, forget_preferences, yield_idle_cores

log = logging.getLogger("semgap")

_INTERRUPTED = 130


def run_script(*commands: Callable[..., None]) -> None:
    """Parse the command line, do the work, and end the process with a fitting status.

    Known failures are shown as one paragraph with cause and remedy; their traceback is in the log.

    Args:
        commands: the script's work. Each parameter is a flag, annotated with its type and meaning:
            ``Annotated[Path, "describes the model"]``. Of several commands, the first argument
            names one.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument(
        "--log",
        type=Path,
        help="write all that is logged to this file, and show only what a user has to know",
    )
    parser.add_argument(
        "--withdraw",
        type=Path,
        nargs="*",
        default=[],
        help="delete these files if the work fails: what they say must not stand then",
    )
    if len(commands) == 1:
        _add_flags(parser, commands[0])
    else:
        subparsers = parser.add_subparsers(required=True)
        for command in commands:
            subparser = subparsers.add_parser(command.__name__, help=command.__doc__)
            _add_flags(subparser, command)
    flags = vars(parser.parse_args())
    action, log_file, withdrawn = flags.pop("action"), flags.pop("log"), flags.pop("withdraw")
    try:
        log_to(log_file)
    except OSError as error:
        _withdraw(withdrawn)
        parser.exit(
            1,
            f"[{parser.prog}] ERROR: The log '{log_file}' cannot be written: {error.strerror}. "
            "Make its folder writable and run again.\n",
        )
    forget_preferences()
    yield_idle_cores()
    end_with_owner()
    try:
        action(**flags)
    except KeyboardInterrupt as error:
        _explain("Interrupted: what was not finished is made again by the next run.", error)
        sys.exit(_INTERRUPTED)
    except Exception as error:
        _withdraw(withdrawn)
        _explain(_message_of(error, log_file), error)
        sys.exit(1)


def _add_flags(parser: argparse.ArgumentParser, command: Callable[..., None]) -> None:
    parser.set_defaults(action=command)
    for name, parameter in inspect.signature(command).parameters.items():
        value_type, meaning = get_args(parameter.annotation)
        several = get_origin(value_type) is list
        optional = isinstance(value_type, types.UnionType)
        if several or optional:
            value_type = get_args(value_type)[0]
        if issubclass(value_type, msgspec.Struct):
            fields = ", ".join(value_type.__struct_fields__)
            meaning, value_type = f"{meaning}: a JSON object with {fields}", _decoder(value_type)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=value_type,
            nargs="+" if several else None,
            required=not optional,
            help=meaning,
        )


def _decoder(settings_type: type[msgspec.Struct]) -> Callable[[str], Any]:
    def settings(text: str) -> Any:
        try:
            return msgspec.json.decode(text, type=settings_type)
        except msgspec.MsgspecError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return settings


def settings_json(settings: msgspec.Struct) -> str:
    """A settings record as a job gets it on its command line."""
    return msgspec.json.encode(settings).decode()


def _withdraw(files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _message_of(error: Exception, log_file: Path | None) -> str:
    if isinstance(error, SemgapError):
        return str(error)
    if isinstance(error, MemoryError):
        return "Out of memory. Use a smaller model, or a machine with more memory."
    # Some libraries wrap the error of a full disk in their own type.
    no_space = isinstance(error, OSError) and error.errno in NO_SPACE
    if no_space or os.strerror(errno.ENOSPC) in str(error):
        where = getattr(error, "filename", None) or "the results folder"
        return f"No space left in '{where}': make room there and run again."
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return (
            f"'{error.filename or 'A file'}' grew beyond the limit of this shell ('ulimit -f'): "
            "raise it and run again."
        )
    return (
        f"Unexpected {type(error).__name__}: {error}. The traceback is in {log_file or 'no log'}."
    )


def log_to(log_file: Path | None) -> None:
    """Write what this project logs, of libraries warnings alone, to a file, with tracebacks.

    It is shown on standard error, too; beside a file, only what a user has to know.

    Raises:
        OSError: the file cannot be written.
    """
    # Otherwise logging prints a traceback for each record that it cannot write to a full disk.
    logging.raiseExceptions = False
    screen = logging.StreamHandler()
    screen.setLevel(logging.INFO if log_file is None else logging.WARNING)
    screen.setFormatter(_WithoutTraceback("%(message)s"))
    handlers: list[logging.Handler] = [screen]
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(log_file, mode="w", encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        handlers.append(file)
    logging.basicConfig(level=logging.WARNING, handlers=handlers)
    log.setLevel(logging.INFO)


def _explain(message: str, error: BaseException) -> None:
    log.error("ERROR: %s", message, exc_info=error)


class _WithoutTraceback(logging.Formatter):
    """Omits the traceback and names the script."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        return f"[{os.path.basename(sys.argv[0])}] {message}"  # noqa: PTH119
