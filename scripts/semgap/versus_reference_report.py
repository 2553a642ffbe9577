"""The comparison with recorded results as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from semgap.markdown import markdown_table
from semgap.records import Host
from semgap.traffic import TOLERANCE, TOLERANCE_BYTES_PER_STEP
from semgap.versus_reference import ComparedRow, Comparison

_ABSENT = "–"
_HEADER = (
    "Phase",
    "Mode",
    "Network bytes here",
    "Recorded",
    "Difference",
    "Bytes",
    "Latency ÷ local here",
    "Recorded",
    "Here ÷ recorded",
)
_EXPLANATION = (
    f"Network bytes are means over the repeats. They must be the same on any machine: a "
    f"difference of at most {100 * TOLERANCE:g} % and {TOLERANCE_BYTES_PER_STEP:,} B a step is OK, "
    "a larger one is a FAIL. Latency is shown as its ratio to `local` of the same machine, "
    "without a verdict: the machines differ."
)
_HOW_TO_RECORD = (
    "No recorded run is there to compare with. `make reference NAME=...` records this experiment "
    "under `results/reference/`."
)


def versus_reference_report(comparisons: Sequence[Comparison]) -> str:
    """One section for each recorded run, and on top whether the bytes are the same."""
    if not comparisons:
        return f"# Comparison with recorded results\n\n{_HOW_TO_RECORD}\n"
    sections = [part for comparison in comparisons for part in _section(comparison)]
    return "\n\n".join(
        ("# Comparison with recorded results", *_verdict(comparisons), _EXPLANATION, *sections, "")
    )


def _verdict(comparisons: Sequence[Comparison]) -> list[str]:
    compared = sum(len(comparison.rows) for comparison in comparisons)
    mismatches = [
        f"{row.phase} of {row.mode} (`{comparison.recorded.name}`)"
        for comparison in comparisons
        for row in comparison.mismatches
    ]
    if mismatches:
        return [f"FAIL: the network bytes are not those recorded in {', '.join(mismatches)}."]
    if compared:
        return [f"OK: the network bytes are those recorded, in all {compared} comparisons."]
    return ["No recorded run is of this workload; nothing was compared."]


def _section(comparison: Comparison) -> list[str]:
    heading = f"## `{comparison.recorded.name}`"
    if comparison.obstacles:
        return [heading, f"Not the same workload: {'; '.join(comparison.obstacles)}."]
    missing = (
        [f"Measured in one of the two alone: {', '.join(comparison.unpaired)}."]
        if comparison.unpaired
        else []
    )
    return [
        heading,
        _hardware(comparison.here.host, comparison.recorded.host),
        markdown_table(_HEADER, [_cells(row) for row in comparison.rows], text_columns=2),
        *missing,
    ]


def _hardware(here: Host, recorded: Host) -> str:
    return markdown_table(
        ("Machine", "Processor", "Cores", "Memory (GB)", "GPU", "Kernel"),
        [
            (
                what,
                host.cpu,
                str(host.cores),
                f"{host.memory_bytes / 1e9:.1f}",
                host.gpu or _ABSENT,
                host.kernel,
            )
            for what, host in (("here", here), ("recorded", recorded))
        ],
        text_columns=6,
    )


def _cells(row: ComparedRow) -> tuple[str, ...]:
    return (
        row.phase.capitalize(),
        row.mode,
        f"{row.here_bytes:,.0f}",
        f"{row.recorded_bytes:,.0f}",
        f"{row.here_bytes - row.recorded_bytes:+,.0f}",
        "OK" if row.agrees else "**FAIL**",
        *_ratios(row.here_of_local, row.recorded_of_local),
    )


def _ratios(here: float | None, recorded: float | None) -> tuple[str, str, str]:
    if here is None or recorded is None:
        return (_ratio(here), _ratio(recorded), _ABSENT)
    return (_ratio(here), _ratio(recorded), _ratio(here / recorded))


def _ratio(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.3f}"
