#!/usr/bin/env python3
"""Draw where the time of one decode step of each mode goes."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script


def draw(
    expectation: Annotated[Path, "names the modes in the table's order"],
    runs: Annotated[list[Path], "run records"],
    time_line: Annotated[Path, "writes this figure (SVG)"],
) -> None:
    from semgap.analysis.expectation import Asked
    from semgap.analysis.figures.time_line import draw_time_line
    from semgap.measurement.run_record import RunRecord
    from semgap.plumbing.files import read_record

    labels = read_record(expectation, Asked).expectation.labels
    draw_time_line([read_record(path, RunRecord) for path in runs], labels, time_line)


if __name__ == "__main__":
    run_script(draw)
