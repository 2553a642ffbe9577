"""What a running workflow says after each run: how many are done, and how long the rest takes."""

import logging
import time
from collections.abc import Callable, Mapping
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
                case LogEvent.JOB_INFO if fields["rule_name"] == self._rule:
                    self._begun[fields["jobid"]] = fields["wildcards"], self._clock()
                case LogEvent.JOB_FINISHED if fields["job_id"] in self._begun:
                    self._finished(*self._begun.pop(fields["job_id"]))
        except Exception as error:
            # No workflow fails because of what it says of itself.
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
