#!/usr/bin/env python3
"""Put reports and figures on one page that opens offline."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script

_LINK = """\
What transport and link can carry at most is a page of its own, and takes some minutes:
`snakemake --cores 1 results/{0}/link.html`, with the same configuration.
"""


def render(
    experiment: Annotated[str, "its name, for the title"],
    files: Annotated[list[Path], "reports (Markdown) and figures (SVG), in the order of the page"],
    page: Annotated[Path, "writes the page (HTML)"],
) -> None:
    from semgap.analysis import page as pages
    from semgap.analysis.catalogue import section_of
    from semgap.plumbing.files import write_atomically

    by_section: dict[str, list[Path]] = {}
    for file in files:
        by_section.setdefault(section_of(file.name), []).append(file)
    sections = [pages.Section(title, those) for title, those in by_section.items()]
    if "Link" not in by_section:
        sections.append(pages.Section("Link", [], _LINK.format(experiment)))
    title = f"{experiment}: the cost of not knowing what a tensor means"
    write_atomically(page, pages.page(title, sections).encode())


if __name__ == "__main__":
    run_script(render)
