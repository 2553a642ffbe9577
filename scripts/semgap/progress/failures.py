"""What failed in a workflow, said once more where a user looks: at the end."""

import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

# As `semgap.pipeline.cli` writes a failure into a job's log.
_CAUSE = re.compile(r"^\S+ \S+ ERROR semgap: ERROR: (.*)$", re.MULTILINE)


class Failures(logging.Handler):
    """Listens to Snakemake's log for jobs that failed."""

    def __init__(self) -> None:
        super().__init__()
        self._logs: dict[str, Path] = {}

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = vars(record)
        if fields.get("event") == LogEvent.JOB_ERROR:
            for log in fields.get("log") or ():
                self._logs[f"{fields['rule_name']} {log}"] = Path(log)

    def text(self) -> str:
        """A paragraph for each cause, with the logs of the jobs that it ended; empty if unknown."""
        logs: dict[str, list[Path]] = {}
        for log in self._logs.values():
            for cause in causes_in(log):
                logs.setdefault(cause, []).append(log)
        return "\n".join(
            f"{cause} (log: {named[0]}{f', and {len(named) - 1} more' if named[1:] else ''})"
            for cause, named in logs.items()
        )


def causes_in(log: Path) -> Iterator[str]:
    """Cause and remedy that a job's log ends with, if it has any."""
    try:
        said: Iterable[str] = _CAUSE.findall(log.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return
    yield from said
