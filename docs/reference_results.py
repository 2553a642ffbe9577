#!/usr/bin/env python3
"""Rebuild what is published of the recorded results: their tables, the figure, the README's part.

A folder of results/reference/ with a manifest.json is an experiment: run records, the traffic that
was parsed from their captures, and the expectation that they met. Everything else follows.
"""

import sys
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from semgap.analysis.expectation import Asked
from semgap.analysis.notes import Experiment
from semgap.analysis.rows import PHASES, TableRow, table_rows
from semgap.analysis.summary import MeasuredRun, RepeatRow, SummaryRow, repeat_rows, summarise
from semgap.analysis.table import latex, markdown, unrounded_csv
from semgap.analysis.traffic import TrafficRow
from semgap.measurement.run_record import RunRecord
from semgap.model.manifest import Manifest
from semgap.plumbing.csv_rows import read_rows, write_rows
from semgap.plumbing.files import read_record, write_atomically

PROJECT = Path(__file__).parents[1]
REFERENCE = PROJECT / "results" / "reference"
# What the README shows, in this order.
SHOWN = ("gptj-6b-h100-tcp", "mini-torch_rpc")
BEGIN, END = "<!-- recorded results: make reference-tables -->\n", "<!-- end -->\n"
# Shades that stay apart in a grey print.
_SHADES = ("0.15", "0.4", "0.6", "0.8")


def recorded() -> list[Path]:
    """The recorded experiments."""
    return sorted(file.parent for file in REFERENCE.glob("*/manifest.json"))


def rebuild(folder: Path) -> list[TableRow]:
    """Write an experiment's repeats.csv, summary.csv and tables from its records."""
    files = [folder / "runs" / mode / f"rep{repeat}.json" for mode, repeat in _runs(folder)]
    records = [read_record(file, RunRecord) for file in files]
    traffic = [
        read_rows(folder / "traffic" / file.parent.name / f"{file.stem}.csv", TrafficRow)
        for file in files
    ]
    rows = repeat_rows([MeasuredRun(*run) for run in zip(records, traffic, strict=True)])
    summary = summarise(rows)
    labels = read_record(folder / "expectation.json", Asked).expectation.labels
    experiment = Experiment(
        read_record(folder / "manifest.json", Manifest),
        records,
        table_rows(summary, labels, ("setup",)),
    )
    table = table_rows(summary, labels, PHASES)
    write_rows(folder / "repeats.csv", RepeatRow, rows)
    write_rows(folder / "summary.csv", SummaryRow, summary)
    write_atomically(folder / "table.md", markdown(table, experiment).encode())
    write_atomically(folder / "table.tex", latex(table, experiment).encode())
    write_atomically(folder / "table.csv", unrounded_csv(table, records).encode())
    return table


def _runs(folder: Path) -> list[tuple[str, int]]:
    expected = read_record(folder / "expectation.json", Asked).expectation.runs
    return [(run.mode, run.settings.repeat) for run in expected]


def draw(rows: list[TableRow], file: Path) -> None:
    """Draw latency and bytes of each mode, prefill beside decode, on logarithmic axes."""
    matplotlib.rcParams["svg.hashsalt"] = "semgap"  # the same names in every file
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    quantities = (("latency_s", 1.0, "latency (s)"), ("network_bytes", 1e9, "network (GB)"))
    modes = list(dict.fromkeys(row.mode for row in rows))
    for axes, (quantity, unit, name) in zip(figure.subplots(1, 2), quantities, strict=True):
        for place, mode in enumerate(modes):
            own = [row for row in rows if row.mode == mode]
            values = [(row.mean(quantity) or 0.0) / unit for row in own]
            at = [phase + 0.2 * place for phase in range(len(own))]
            axes.bar(at, values, 0.18, color=_SHADES[place], edgecolor="black", label=mode)
        axes.set(yscale="log", ylabel=name)
        axes.set_xticks([phase + 0.3 for phase in range(len(PHASES))], PHASES)
        axes.grid(visible=True, axis="y", linewidth=0.3)
    figure.axes[0].legend(fontsize=8)
    figure.savefig(file, metadata={"Date": None})


def shown_in_readme(folder: Path) -> str:
    """A recorded experiment, as the README shows it."""
    place = folder.relative_to(PROJECT)
    table, _, notes = (folder / "table.md").read_text(encoding="utf-8").partition("\n\n")
    said = [note for note in notes.splitlines() if note.startswith(("- Exp", "- Comp", "- Meas"))]
    warnings = notes.count("- **Warning**")
    doubts = f", with {warnings} warnings" if warnings else ""
    return "\n\n".join(
        (
            table,
            "\n".join([*said, f"- All notes{doubts}: [{place}/table.md]({place}/table.md)"]),
            f"![Latency and network traffic of each mode, logarithmic axes]({place}/modes.svg)\n",
        )
    )


def main() -> None:
    """Rebuild everything; ends with 1 if the README was out of date."""
    for folder in recorded():
        draw(rebuild(folder), folder / "modes.svg")
    readme = PROJECT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    shown = "\n".join(shown_in_readme(REFERENCE / name) for name in SHOWN)
    new = f"{before}{BEGIN}\n{shown}\n{END}{rest.partition(END)[2]}"
    readme.write_text(new, encoding="utf-8")
    sys.exit(new != text)


if __name__ == "__main__":
    main()
