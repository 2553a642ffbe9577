#!/usr/bin/env python3
"""Say how far an experiment is: runs, bytes, what runs now, and about how long the rest takes."""

import time
from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script


def status(config: Annotated[list[Path], "the experiment's configuration"]) -> None:
    from semgap.pipeline.config import read_config
    from semgap.plumbing.exclusive import is_used
    from semgap.progress.runs import lines, progress_of

    experiment = read_config(*config)
    progress = progress_of(
        Path("results") / experiment.experiment,
        {mode: experiment.workload.repeats_of(mode) for mode in experiment.modes},
        is_used(Path(".snakemake")),
        time.time(),
    )
    print("\n".join(lines(progress)))


if __name__ == "__main__":
    run_script(status)
