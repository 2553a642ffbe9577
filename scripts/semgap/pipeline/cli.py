"""What all scripts share: progress, one clear paragraph on failure, the traceback in a log."""

import argparse
import errno
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from semgap.errors import SemgapError
from semgap.plumbing.files import NO_SPACE
from semgap.plumbing.processes import end_with_owner, yield_idle_cores

log = logging.getLogger("semgap")

_INTERRUPTED = 130


def script_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the flags that every script has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--log", type=Path, help="also write everything that is logged to this file"
    )
    parser.add_argument(
        "--withdraw",
        type=Path,
        nargs="*",
        default=[],
        help="delete these files if the work fails: what they say must not stand then",
    )
    return parser


def add_settings(parser: argparse.ArgumentParser, settings_type: type[msgspec.Struct]) -> None:
    """Give a parser the flag that takes a settings record as ``settings_json`` writes it."""
    names = ", ".join(field.name for field in msgspec.structs.fields(settings_type))

    def decoded(text: str) -> object:
        try:
            return msgspec.json.decode(text, type=settings_type)
        except msgspec.MsgspecError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    parser.add_argument(
        "--settings", required=True, type=decoded, help=f"a JSON object with {names}"
    )


def settings_json(settings: msgspec.Struct) -> str:
    """A settings record as a job gets it on its command line."""
    return msgspec.json.encode(settings).decode()


def run_script(
    parser: argparse.ArgumentParser, action: Callable[[argparse.Namespace], None]
) -> None:
    """Parse the command line, do the work, and end the process with a fitting status.

    Known failures are shown as one paragraph with cause and remedy; their traceback is in the log.
    """
    arguments = parser.parse_args()
    try:
        log_to(arguments.log)
    except OSError as error:
        _withdraw(arguments.withdraw)
        parser.exit(
            1,
            f"[{parser.prog}] ERROR: The log '{arguments.log}' cannot be written: "
            f"{error.strerror}. Make its folder writable and run again.\n",
        )
    yield_idle_cores()
    end_with_owner()
    try:
        action(arguments)
    except SemgapError as error:
        _withdraw(arguments.withdraw)
        _explain(str(error), error)
        sys.exit(1)
    except KeyboardInterrupt as error:
        _explain("Interrupted: what was not finished is made again by the next run.", error)
        sys.exit(_INTERRUPTED)
    except MemoryError as error:
        _withdraw(arguments.withdraw)
        _explain("Out of memory. Use a smaller model, or a machine with more memory.", error)
        sys.exit(1)
    except Exception as error:
        _withdraw(arguments.withdraw)
        _explain(f"{_unexpected(error)} The traceback is in {arguments.log or 'no log'}.", error)
        sys.exit(1)


def _withdraw(files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _unexpected(error: Exception) -> str:
    # Some libraries raise a type of their own for a full disk, with the system's text in it.
    if (isinstance(error, OSError) and error.errno in NO_SPACE) or os.strerror(errno.ENOSPC) in str(
        error
    ):
        where = getattr(error, "filename", None) or "the results folder"
        return f"No space left in '{where}': make room there and run again."
    return f"Unexpected {type(error).__name__}: {error}."


def log_to(log_file: Path | None) -> None:
    """Show progress on standard error and, with tracebacks, in a file.

    Raises:
        OSError: the file cannot be written.
    """
    # Otherwise logging prints a traceback for each record that it cannot write to a full disk.
    logging.raiseExceptions = False
    screen = logging.StreamHandler()
    screen.setFormatter(_WithoutTraceback("%(message)s"))
    handlers: list[logging.Handler] = [screen]
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(log_file, mode="w")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        handlers.append(file)
    logging.basicConfig(level=logging.INFO, handlers=handlers)


def _explain(message: str, error: BaseException) -> None:
    log.error("ERROR: %s", message, exc_info=error)


class _WithoutTraceback(logging.Formatter):
    """Leaves out the traceback, and stands out from the workflow engine's own lines."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        return f"[{os.path.basename(sys.argv[0])}] {message}"  # noqa: PTH119
