"""What is published of an experiment: a line per file, with the function that makes it.

Rules take the names of their outputs from here, and a job imports only what it writes. Each
function takes an experiment's Numbers; a report's returns its text, a figure's the figure.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Published(NamedTuple):
    """A file: where it stands on the page, and the function that makes it."""

    section: str
    place: str

    @property
    def module(self) -> str:
        """The module that holds the function."""
        return f"semgap.analysis.{self.place.rpartition('.')[0]}"

    def maker(self) -> Callable[..., Any]:
        """The function, imported."""
        function = self.place.rpartition(".")[2]
        found: Callable[..., Any] = getattr(importlib.import_module(self.module), function)
        return found


REPORTS = {
    "table.md": Published("Table", "reports.table.markdown"),
    "table.csv": Published("Table", "reports.table.full_csv"),
    "table.tex": Published("Table", "reports.table.latex"),
    "claims.md": Published("Claims", "reports.claims.claims_markdown"),
    "stats.md": Published("Latency", "reports.statistics.statistics_markdown"),
    "traffic.md": Published("Traffic", "reports.traffic.traffic_markdown"),
    "provenance.md": Published("Provenance", "reports.provenance.provenance_markdown"),
}
# Without the suffix, which says the form.
FIGURES = {
    "modes": Published("Latency", "figures.modes.modes"),
    "latencies": Published("Latency", "figures.latencies.latencies"),
    "time-line": Published("Latency", "figures.time_line.time_line"),
    "traffic": Published("Traffic", "figures.traffic_classes.traffic_classes"),
}


# Made by other rules.
OTHERS = {
    "versus-reference.md": "Recorded results",
    "transport.md": "Link",
    "transport.svg": "Link",
    "overhead.md": "Link",
}


def section_of(file: str) -> str:
    """Where a file stands on the page, by its name: a report's, or a figure's with a suffix."""
    if file in OTHERS:
        return OTHERS[file]
    published = REPORTS.get(file) or FIGURES[file.rpartition(".")[0]]
    return published.section


def modules_of(catalogue: Mapping[str, Published]) -> list[str]:
    """The modules that make what a catalogue lists."""
    return sorted({published.module for published in catalogue.values()})
