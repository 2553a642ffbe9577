"""What Snakemake would run, as data: dry runs in forked processes, told by its own events."""

import contextlib
import importlib
import io
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from forks import FORKS
from patience import PATIENCE_S


@dataclass(frozen=True)
class Plan:
    """A dry run.

    Attributes:
        jobs: rule names; those of a run as rule:mode.repeat.
        fingerprints: what Snakemake's rules asked ``code_fingerprint`` for, and its answers.
        messages: each job's message.
        output: all that a user would have seen.
    """

    jobs: frozenset[str]
    fingerprints: dict[tuple[str, tuple[str, ...]], str]
    messages: tuple[str, ...]
    output: str


def dry_run(folder: Path, *arguments: str) -> Plan:
    """Let ``snakemake -n`` say what it would run in a folder."""
    mine, theirs = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=_dry_run, args=(folder, arguments, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        assert mine.poll(PATIENCE_S), "the dry run did not end"
        status, *plan = mine.recv()
    finally:
        mine.close()
        process.kill()
        process.join()
    planned = Plan(*plan)
    assert status == 0, planned.output
    return planned


def _dry_run(folder, arguments, connection):
    os.chdir(folder)
    # The folder's own code, never this project's: nothing of it is imported yet.
    sys.path.insert(0, str(folder / "scripts"))
    fingerprints = _note_fingerprints()
    cli, snakemake_logging = map(importlib.import_module, ("snakemake.cli", "snakemake.logging"))
    told = _ToldJobs()
    snakemake_logging.logger.addFilter(told)
    output = io.StringIO()
    status = None
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            cli.main(["-n", "--cores", "1", *arguments])
        except SystemExit as ended:
            status = ended.code
    connection.send(
        (status, frozenset(told.jobs), fingerprints, tuple(told.messages), output.getvalue())
    )


def _note_fingerprints():
    module = importlib.import_module("semgap.pipeline.fingerprint")
    original, noted = module.code_fingerprint, {}

    def noting(scripts, entry, modules=()):
        noted[entry, tuple(modules)] = original(scripts, entry, modules)
        return noted[entry, tuple(modules)]

    module.code_fingerprint = noting
    return noted


class _ToldJobs(logging.Filter):
    """Takes the jobs out of Snakemake's events; lets every event pass."""

    def __init__(self):
        super().__init__()
        self.jobs = set()
        self.messages = []

    def filter(self, record):
        if getattr(record, "event", None) == "job_info":
            run = record.wildcards or {}
            name = f":{run['mode']}.{run['repeat']}" if "mode" in run else ""
            self.jobs.add(f"{record.rule_name}{name}")
            self.messages.append(record.rule_msg)
        return True
