"""What Snakemake plans after a change: sets of jobs by name, and how a plan differs from them."""

import contextlib
import os

from experiment import Experiment
from plans import dry_run
from semgap.pipeline.fingerprint import code_fingerprint

REMOTE = ("naive", "remote_cache", "semantic")
MODES = ("local", *REMOTE)
# One mode has a second repeat, which tells a repeat from its mode.
REPEATS = {"local": 1, "naive": 1, "remote_cache": 1, "semantic": 2}


def runs(rule, *modes, repeats=None):
    return {
        f"{rule}:{mode}.{repeat}"
        for mode in modes
        for repeat in repeats or range(1, REPEATS[mode] + 1)
    }


def measured(*modes, **which):
    """Benchmarks of modes and all that follows from them."""
    return (
        runs("benchmark", *modes, **which)
        | runs("parse_capture", *modes, **which)
        | VERIFIED
        | ANALYSIS
    )


TABLE = {"render_table"}
VERIFIED = {"verify_weights"}
ANALYSIS = {"aggregate", *TABLE}
ALL_RUNS = measured(*MODES)
REMOTE_RUNS = {"rpc_server"} | measured(*REMOTE)
CHECKED = {"check_model"} | ANALYSIS
FROM_PROMPT = {"make_prompt"} | CHECKED | ALL_RUNS
FROM_MANIFEST = {"describe_model", "rpc_server"} | FROM_PROMPT
EVERYTHING = {"store_weights"} | CHECKED | FROM_MANIFEST
TRAFFIC = runs("parse_capture", *MODES) | ANALYSIS


@contextlib.contextmanager
def edited(path, text):
    """Put other text into a file, then the old text and modification time back."""
    old, status = path.read_text(), path.stat()
    path.write_text(text)
    try:
        yield
    finally:
        path.write_text(old)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def differences(experiment: Experiment, expected):
    return compared(experiment.planned(), expected)


def compared(planned, expected):
    """Jobs planned and not expected; jobs expected and not planned."""
    return planned - expected, expected - planned


class PlansOfCode:
    """Plans after changes of code: one dry run for all changes of the same fingerprints.

    Snakemake compares a job's fingerprint by value, so which ones differ decides what it plans.
    """

    def __init__(self, experiment: Experiment, *targets):
        self._experiment = experiment
        self._targets = targets or ("results/table.md",)
        self._before = dry_run(experiment.folder, "--", *self._targets).fingerprints
        self._plans = {}

    def after(self, module):
        """The jobs that Snakemake plans after a change of a module."""
        path = self._experiment.folder / "scripts" / module
        with edited(path, path.read_text() + "\nEDITED = 1\n"):
            changed = frozenset(
                asked
                for asked, fingerprint in self._before.items()
                if code_fingerprint(self._experiment.folder / "scripts", *asked) != fingerprint
            )
            if changed not in self._plans:
                self._plans[changed] = self._experiment.planned(*self._targets)
        return self._plans[changed]
