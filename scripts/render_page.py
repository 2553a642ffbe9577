#!/usr/bin/env python3
"""Draw the figures and put all reports on one page that opens offline."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script

_LINK = """\
What transport and link can carry at most was not measured with this experiment. It takes some
minutes: `snakemake --cores 1 results/{0}/transport.md results/{0}/overhead.md`, with the same
configuration, then `make report` again.
"""


def render(
    expectation: Annotated[Path, "names the modes in the table's order"],
    repeats: Annotated[Path, "every number of every repeat (CSV)"],
    summary: Annotated[Path, "the summary (CSV)"],
    counts: Annotated[Path, "the counts of the same bytes (CSV)"],
    table: Annotated[Path, "the table (Markdown)"],
    claims: Annotated[Path, "the report on claims (Markdown)"],
    versus: Annotated[Path, "the report on recorded results (Markdown)"],
    traffic: Annotated[Path, "the report on traffic (Markdown)"],
    statistics: Annotated[Path, "the report on latencies (Markdown)"],
    provenance: Annotated[Path, "the report on what the numbers depend on (Markdown)"],
    time_line: Annotated[Path, "the figure of one step (SVG)"],
    link: Annotated[list[Path] | None, "reports on the link, if it was measured"],
    latency_figures: Annotated[list[Path], "writes these; the first is SVG"],
    traffic_figures: Annotated[list[Path], "writes these; the first is SVG"],
    page: Annotated[Path, "writes the page (HTML)"],
) -> None:
    from semgap.analysis import page as pages
    from semgap.analysis.counts import CountRow
    from semgap.analysis.expectation import Asked
    from semgap.analysis.figures.latencies import draw_latencies
    from semgap.analysis.figures.traffic_classes import draw_traffic
    from semgap.analysis.summary import RepeatRow, SummaryRow
    from semgap.plumbing.csv_rows import read_rows
    from semgap.plumbing.files import read_record, write_atomically

    asked = read_record(expectation, Asked).expectation
    rows = read_rows(repeats, RepeatRow), read_rows(summary, SummaryRow)
    draw_latencies(*rows, asked.labels, latency_figures)
    draw_traffic(read_rows(counts, CountRow), asked.labels, traffic_figures)
    sections = [
        pages.Section("Table", [table]),
        pages.Section("Claims", [claims]),
        pages.Section("Recorded results", [versus]),
        pages.Section("Latency", [latency_figures[0], time_line, statistics]),
        pages.Section("Traffic", [traffic_figures[0], traffic]),
        pages.Section("Link", link or [], "" if link else _LINK.format(asked.experiment)),
        pages.Section("Provenance", [provenance]),
    ]
    title = f"{asked.experiment}: the cost of not knowing what a tensor means"
    write_atomically(page, pages.page(title, sections).encode())


if __name__ == "__main__":
    run_script(render)
