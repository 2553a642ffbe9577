"""What is published of an experiment: a line per file, with the function that makes it.

Rules take the names of their outputs from here, and a job imports only what it writes. Each
function takes an experiment's Numbers; a report's returns its text, a figure's the figure.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Published(NamedTuple):
    """A file: where it stands in the report, the function that makes it, and what to see in it."""

    section: str
    place: str
    caption: str = ""  # of a figure

    @property
    def module(self) -> str:
        """The module that holds the function."""
        return f"semgap.analysis.{self.place.rpartition('.')[0]}"

    def maker(self) -> Callable[..., Any]:
        """The function, imported."""
        function = self.place.rpartition(".")[2]
        found: Callable[..., Any] = getattr(importlib.import_module(self.module), function)
        return found


FOUND, CLAIMS, TIME = "What was found", "What is claimed", "Where the time goes"
NOTES, ELSEWHERE = "What was run, and what the data support", ""
CROSSING, SOURCE, LINK = "What crosses", "Where the numbers come from", "The link"
# Both in the order of the report.
REPORTS = {
    "table.md": Published(ELSEWHERE, "reports.table.markdown"),
    "table.csv": Published(ELSEWHERE, "reports.table.full_csv"),
    "table.tex": Published(ELSEWHERE, "reports.table.latex"),
    "found.md": Published(FOUND, "reports.table.found_markdown"),
    "modes.md": Published(FOUND, "reports.modes.modes_markdown"),
    "claims.md": Published(CLAIMS, "reports.claims.claims_markdown"),
    "notes.md": Published(NOTES, "reports.table.notes_markdown"),
    "ladder.md": Published(FOUND, "reports.ladder.ladder_markdown"),
    "latency.md": Published(TIME, "reports.latency.latency_markdown"),
    "stats.md": Published(TIME, "reports.statistics.statistics_markdown"),
    "traffic.md": Published(CROSSING, "reports.traffic.traffic_markdown"),
    "provenance.md": Published(SOURCE, "reports.provenance.provenance_markdown"),
}
# Without the suffix, which says the form.
FIGURES = {
    "decode": Published(
        FOUND,
        "figures.modes.decode",
        "All decode steps of each mode: a dot per repeat, the mean with its standard deviation, "
        "and the ratio to Local. Look how far each mode is from Local in seconds and in bytes: "
        "both axes are logarithmic.",
    ),
    "prefill": Published(
        FOUND,
        "figures.modes.prefill",
        "The same for the prefill, before which there is no KV cache to send up.",
    ),
    "ladder": Published(
        FOUND,
        "figures.ladder.ladder",
        "How much of the gap between Naive and the framework-level mode each row closes, in bytes "
        "and in seconds of a decode step. Look where the two are apart: there the bytes are saved, "
        "and the time is spent on finding out which.",
    ),
    "claims": Published(
        CLAIMS,
        "figures.claims.claims",
        "Each claim's number with its interval, on the band that the claim accepts: green passes, "
        "red fails, black is not decided by these data. A zero stands at the left end.",
    ),
    "time-line": Published(
        TIME,
        "figures.time_line.time_line",
        "The median decode step of each mode from left to right, all on one logarithmic axis that "
        "begins at 0.01 ms: most "
        "of Naive's step is the network, most of Local's is the model.",
    ),
    "overhead": Published(
        TIME,
        "figures.overhead.overhead",
        "What the framework-level mode adds to Local in one decode step, span by span; a negative "
        "bar took less time than in Local.",
    ),
    "traffic": Published(
        CROSSING,
        "figures.traffic.traffic",
        "What one decode step must move, by class of tensor, on a logarithmic axis: weights are "
        "the largest, then the KV cache, then the logits.",
    ),
    "order": Published(
        SOURCE,
        "figures.order.order",
        "When each run was made, and how many cores other processes used meanwhile: modes take "
        "turns, so that a slow minute meets all of them.",
    ),
}


# Made by other rules.
OTHERS = {
    "versus-reference.md": CLAIMS,
    **dict.fromkeys(("peers.md", "peers.svg"), FOUND),
    **dict.fromkeys(("transport.md", "transport.svg", "overhead.md"), LINK),
}


def report_parts() -> list[str]:
    """The files that results/report.html shows, in its order: a section's reports, then figures."""
    shown = {
        **{name: one.section for name, one in REPORTS.items() if one.section != ELSEWHERE},
        **{f"figures/{name}.svg": one.section for name, one in FIGURES.items()},
    }
    return [
        name
        for section in dict.fromkeys(shown.values())
        for name, of_section in shown.items()
        if of_section == section
    ]


def published_as(file: str) -> Published:
    """What is known of a file by its name: a report's, or a figure's with a suffix."""
    if file in OTHERS:
        return Published(OTHERS[file], "")
    return REPORTS.get(file) or FIGURES[file.rpartition(".")[0]]


def modules_of(catalogue: Mapping[str, Published]) -> list[str]:
    """The modules that make what a catalogue lists."""
    return sorted({published.module for published in catalogue.values()})
