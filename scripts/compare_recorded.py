#!/usr/bin/env python3
"""Put bytes and ratios beside those of the recorded experiment of the nearest kind."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script


def compare(
    expectation: Annotated[Path, "what the configuration says that the runs are"],
    manifest: Annotated[Path, "describes the model"],
    summary: Annotated[Path, "the summary (CSV)"],
    comparisons: Annotated[Path, "the latencies' ratios (CSV)"],
    reference: Annotated[Path, "folder of recorded experiments"],
    rows: Annotated[Path, "writes the comparison (CSV)"],
    report: Annotated[Path, "writes the same to read (Markdown)"],
) -> None:
    from semgap.analysis.numbers.versus import VersusRow, read_results, recorded_in, versus_nearest
    from semgap.analysis.reports.versus import versus_markdown
    from semgap.plumbing.files import write_atomically, write_rows

    here = read_results(expectation, manifest, summary, comparisons)
    found = versus_nearest(here, recorded_in(reference))
    write_rows(rows, VersusRow, found)
    write_atomically(report, versus_markdown(found, here.expectation.labels).encode())


if __name__ == "__main__":
    run_script(compare)
