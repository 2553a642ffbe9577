#!/usr/bin/env python3
"""Say how far an experiment is: runs, bytes, what runs now, and about how long the rest takes."""

import time
from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script


def status(config: Annotated[Path, "the experiment's configuration"]) -> None:
    import yaml

    from semgap.pipeline.config import load_config
    from semgap.progress.runs import lines, progress_of

    experiment = load_config(yaml.safe_load(config.read_bytes()))
    progress = progress_of(
        Path("results") / experiment.experiment,
        {mode: experiment.workload.repeats_of(mode) for mode in experiment.modes},
        Path(".snakemake") / "run.lock",
        time.time(),
    )
    print("\n".join(lines(progress)))


if __name__ == "__main__":
    run_script(status)
