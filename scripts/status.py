#!/usr/bin/env python3
"""Say how far an experiment or a sweep is: runs, bytes, what runs now, about how long it takes."""

import time
from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script


def status(config: Annotated[list[Path], "the experiment's configuration"]) -> None:
    from semgap.pipeline.config import load_config, read_values
    from semgap.pipeline.sweep import points_of
    from semgap.plumbing.exclusive import is_used
    from semgap.progress.runs import lines, progress_of

    points = points_of(read_values(*config))
    for name, experiment in zip(points, map(load_config, points.values()), strict=True):
        progress = progress_of(
            Path("results") / name,
            {mode: experiment.workload.repeats_of(mode) for mode in experiment.modes},
            is_used(Path(".snakemake")),
            time.time(),
        )
        print("\n".join([f"{name}:"] * (len(points) > 1) + lines(progress)))


if __name__ == "__main__":
    run_script(status)
