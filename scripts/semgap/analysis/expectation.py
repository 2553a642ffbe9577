"""What the configuration expects of the runs behind a table.

Snakemake compares parameters with its own metadata, which does not travel with the results. So the
expectation is a file: the runs are checked against it before publication, and it changes when the
existing results do not meet it.
"""

import hashlib
import os
import shutil
import time
from pathlib import Path

import msgspec

from semgap.analysis.claims import Claim
from semgap.errors import SemgapError
from semgap.measurement.job_settings import BenchmarkSettings, StoppingRule
from semgap.model.model_settings import ModelSettings
from semgap.plumbing.files import read_record, write_record
from semgap.policy import Label, Policy
from semgap.server.endpoint import LinkShape


class ExpectedRun(msgspec.Struct, frozen=True):
    """What the record of one run must say of itself."""

    mode: str
    settings: BenchmarkSettings
    policy: Policy
    transport: str
    link: LinkShape | None = None


class Expectation(msgspec.Struct, frozen=True):
    """Everything that a table is built from."""

    experiment: str
    weights_id: str  # name of the folder of the model's weights
    model: ModelSettings
    prompt_tokens: int | None  # of a random prompt
    prompt_seed: int | None
    labels: dict[str, Label]  # the modes of the table, in its order
    runs: tuple[ExpectedRun, ...]  # in the order of the files that rules name
    claims: tuple[Claim, ...] = ()  # what the results are held against
    stopping: StoppingRule | None = None  # how the number of repeats was chosen
    prompt_text: str | None = None  # instead of a random prompt


class Asked(msgspec.Struct, frozen=True):
    """An expectation, and the time since which results that do not meet it are replaced.

    The time makes a rewritten file differ: Snakemake ignores a file with the same content.
    """

    expectation: Expectation
    since_unix_ns: int


def expectation_file(
    expectation: Expectation, folder: Path, built_from: Path, complete: bool
) -> Path:
    """Write an expectation to its own file and return the path.

    While the results meet the expectation, the file is a copy of the one they were built from.
    Otherwise it is a new one, so that Snakemake builds again what depends on it.

    Args:
        built_from: a copy of the file that the results were built from, if there are any.
        complete: whether all results are there, as they were built.
    """
    digest = hashlib.sha256(msgspec.json.encode(expectation)).hexdigest()
    file = folder / f"{digest[:16]}.json"
    if complete and _asked_in(built_from) == expectation:
        if not file.exists() or file.read_bytes() != built_from.read_bytes():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(built_from, file)
            # With the time of the other, Snakemake builds nothing again.
            os.utime(file, ns=(built_from.stat().st_atime_ns, built_from.stat().st_mtime_ns))
    else:
        write_record(file, Asked(expectation, time.time_ns()))
    return file


def _asked_in(file: Path) -> Expectation | None:
    try:
        return read_record(file, Asked).expectation
    except SemgapError:
        return None
