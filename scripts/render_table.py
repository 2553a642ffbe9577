#!/usr/bin/env python3
"""Write the published table and the reports beside it."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script


def render(
    expectation: Annotated[Path, "what the configuration says that the runs are"],
    manifest: Annotated[Path, "describes the model"],
    runs: Annotated[list[Path], "run records"],
    numbers: Annotated[list[Path], "all numbers (CSV)"],
    reports: Annotated[list[Path], "writes these, each what its name says"],
) -> None:
    from semgap.analysis import publish
    from semgap.plumbing.files import write_atomically

    texts = dict(publish.reports(publish.read_numbers(expectation, manifest, runs, numbers)))
    for file in reports:
        write_atomically(file, texts[file.name].encode())


if __name__ == "__main__":
    run_script(render)
