"""Messages of a running workflow: each run as it ends, and at the end what failed."""

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent


class RunsAnnounced(logging.Handler):
    """Listens to Snakemake's log, in Snakemake's own process: nothing else runs while it measures.

    Args:
        rule: name of the rule that measures a run.
        record_of: where the run with these wildcards has its record.
        say: takes what is to be told to the user.

    Attributes:
        planned: how many runs this start of Snakemake will measure; 0 before it has planned.
    """

    def __init__(
        self,
        rule: str,
        record_of: Callable[[Mapping[str, str]], Path],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._rule = rule
        self._record_of = record_of
        self._say = say
        self._clock = clock
        self.planned = 0
        self._begun: dict[int, tuple[Mapping[str, str], float]] = {}
        self._durations_s: dict[str, list[float]] = {}
        self._moved_bytes = 0

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = vars(record)
        try:
            match fields.get("event"):
                case LogEvent.RUN_INFO:
                    self.planned = fields["stats"].get(self._rule, 0)
                    if self.planned:
                        self._say(f"{self.planned} runs are to be measured.")
                case LogEvent.JOB_INFO if fields["rule_name"] == self._rule:
                    self._begun[fields["jobid"]] = fields["wildcards"], self._clock()
                case LogEvent.JOB_FINISHED if fields["job_id"] in self._begun:
                    self._finished(*self._begun.pop(fields["job_id"]))
        except Exception as error:
            # An error in a message must not fail the workflow.
            self._say(f"How long the rest takes cannot be told: {error}")

    def _finished(self, wildcards: Mapping[str, str], begin_s: float) -> None:
        # Each start of Snakemake makes a handler, and few measure anything.
        from semgap.measurement.run_record import RunRecord
        from semgap.plumbing.files import read_record
        from semgap.progress.runs import duration_text, moved_bytes_of

        run = read_record(self._record_of(wildcards), RunRecord)
        took_s = self._clock() - begin_s
        self._durations_s.setdefault(run.mode, []).append(took_s)
        self._moved_bytes += moved_bytes_of(run)
        done = sum(map(len, self._durations_s.values()))
        # Rounds have a run of each mode, so the rest is made of the modes alike.
        rest_s = (self.planned - done) * fmean(map(fmean, self._durations_s.values()))
        rest = f"the rest takes about {duration_text(rest_s)}" if rest_s else "that was the last"
        self._say(
            f"Measured {done} of {self.planned}: {run.name}, in {duration_text(took_s)}; so far "
            f"{self._moved_bytes / 1e9:,.2f} GB of tensors; {rest}."
        )


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
