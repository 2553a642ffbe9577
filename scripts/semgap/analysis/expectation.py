"""What the configuration says that a table is made of, whatever the workflow engine remembers.

The engine compares parameters with notes of its own, which do not travel with the results. So the
expectation is a file: the runs are held against it before anything is published, and it changes
where the results that stand do not meet it.
"""

import hashlib
import shutil
import time
from pathlib import Path

import msgspec

from semgap.errors import SemgapError
from semgap.measurement.job_settings import BenchmarkSettings
from semgap.model.model_settings import ModelSettings
from semgap.plumbing.files import read_record, write_record
from semgap.policy import Label, Policy


class ExpectedRun(msgspec.Struct, frozen=True):
    """What the record of one run must say of itself."""

    mode: str
    settings: BenchmarkSettings
    policy: Policy
    transport: str


class Expectation(msgspec.Struct, frozen=True):
    """What a table is made of."""

    experiment: str
    weights_id: str  # name of the folder of the model's weights
    model: ModelSettings
    prompt_tokens: int
    prompt_seed: int
    labels: dict[str, Label]  # the modes of the table, in its order
    runs: tuple[ExpectedRun, ...]  # in the order of the files that rules name


class Asked(msgspec.Struct, frozen=True):
    """An expectation, and since when results that do not meet it are to be replaced.

    Without the time, a file that is written again would not differ, and the engine ignores that.
    """

    expectation: Expectation
    since_unix_ns: int


def expectation_file(
    expectation: Expectation, folder: Path, built_from: Path, complete: bool
) -> Path:
    """Write an expectation into a file of its own; returns the file.

    The file is the one that the results were built from as long as they meet the expectation, and
    another one as soon as they do not, so that what depends on it is made again.

    Args:
        built_from: a copy of the file that the results were built from, if there are any.
        complete: whether all results are there, as they were built.
    """
    digest = hashlib.sha256(msgspec.json.encode(expectation)).hexdigest()
    file = folder / f"{digest[:16]}.json"
    if complete and _asked_in(built_from) == expectation:
        if not file.exists() or file.read_bytes() != built_from.read_bytes():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(built_from, file)
    else:
        write_record(file, Asked(expectation, time.time_ns()))
    return file


def _asked_in(file: Path) -> Expectation | None:
    try:
        return read_record(file, Asked).expectation
    except SemgapError:
        return None
