"""What is published of a sweep."""

from collections.abc import Iterable
from pathlib import Path

from semgap.analysis.figures import save
from semgap.analysis.numbers.numbers import Numbers
from semgap.analysis.scaling.explorer import explorer
from semgap.analysis.scaling.figure import scaling
from semgap.analysis.scaling.findings import findings_of
from semgap.analysis.scaling.report import scaling_markdown
from semgap.analysis.scaling.shapes import read_shapes
from semgap.plumbing.files import write_atomically

SCALING = ("scaling.md", "scaling.svg", "explorer.html")


def write_scaling(name: str, sweep: Iterable[Numbers], shapes: Path, folder: Path) -> None:
    """Write the report, its figure and the page of a sweep's experiments.

    Raises:
        MeasurementError: they do not belong together, or are too few for a law.
    """
    found = findings_of(name, list(sweep))
    others = [shape for shape in read_shapes(shapes) if shape.name != found.shape.name]
    report, figure, page = (folder / name for name in SCALING)
    write_atomically(report, scaling_markdown(found, others).encode())
    save(scaling(found), figure)
    write_atomically(page, explorer(found, others).encode())
