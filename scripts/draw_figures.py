#!/usr/bin/env python3
"""Draw the figures."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script


def draw(
    expectation: Annotated[Path, "what the configuration says that the runs are"],
    manifest: Annotated[Path, "describes the model"],
    runs: Annotated[list[Path], "run records"],
    numbers: Annotated[list[Path], "all numbers (CSV)"],
    figures: Annotated[
        list[Path], "writes these, each what its name says, in the form that its suffix names"
    ],
) -> None:
    from semgap.analysis.figures import save
    from semgap.analysis.publish import figure, read_numbers

    found = read_numbers(expectation, manifest, runs, numbers)
    for file in figures:
        save(figure(file.stem, found), file)


if __name__ == "__main__":
    run_script(draw)
