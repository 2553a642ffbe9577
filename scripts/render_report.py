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
    pages: Annotated[list[Path], "writes the page (HTML) here, and here"],
) -> None:
    from semgap.analysis.catalogue import LINK, published_as
    from semgap.analysis.page import Section, page
    from semgap.plumbing.files import write_atomically

    by_section: dict[str, list[tuple[Path, str]]] = {}
    for file in files:
        known = published_as(file.name)
        by_section.setdefault(known.section, []).append((file, known.caption))
    sections = [Section(title, those) for title, those in by_section.items()]
    if LINK not in by_section:
        sections.append(Section(LINK, [], _LINK.format(experiment)))
    text = page(f"{experiment}: the cost of not knowing what a tensor means", sections)
    for file in pages:
        write_atomically(file, text.encode())


if __name__ == "__main__":
    run_script(render)
