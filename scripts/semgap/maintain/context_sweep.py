"""What of decode grows with the prompt: experiments that differ in the prompt's length alone.

Usage: python -m semgap.maintain.context_sweep results/context-… writes results/context.md and .svg.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure

from semgap.analysis import publish
from semgap.analysis.expectation import Asked
from semgap.analysis.figures import BLACK, BLUE, ORANGE, VERMILION, WIDTH_IN, save
from semgap.analysis.numbers.comparison import BASELINE_MODE
from semgap.analysis.numbers.numbers import Numbers, TableRow
from semgap.analysis.numbers.prediction import predict
from semgap.analysis.reports.columns import gigabytes_text, latency_text
from semgap.plumbing.files import read_record, write_atomically
from semgap.plumbing.markup import escaped_markdown, markdown_table

_LOOKS = ((BLACK, "o"), (VERMILION, "s"), (BLUE, "^"), (ORANGE, "D"))
CAPTION = (
    "Decode over the prompt's length. Marks are measured; a line in the lower panel is the "
    "prediction from the model's shape, and in the upper one Local's mean step plus the predicted "
    "bytes ÷ the goodput of the mode's longest prompt. Only the modes that send the KV cache grow."
)


def contexts_markdown(sweep: Mapping[int, Numbers]) -> str:
    """Decode of each mode, a column for each length of the prompt."""
    lengths = sorted(sweep)
    cells = [
        [
            escaped_markdown(label.text),
            *(_cell(_decode_of(sweep[length], mode)) for length in lengths),
        ]
        for mode, label in sweep[lengths[0]].labels.items()
    ]
    header = ("Decode after a prompt of", *(f"{length} tokens" for length in lengths))
    return f"{markdown_table(header, cells, text_columns=1)}\n"


def contexts(sweep: Mapping[int, Numbers]) -> Figure:
    """Latency and bytes of decode over the prompt's length: measured points, predicted lines."""
    figure = Figure(figsize=(WIDTH_IN, 4.4), layout="constrained")
    lengths = sorted(sweep)
    latency, network = figure.subplots(2, 1, sharex=True)
    labels = sweep[lengths[0]].labels
    local_s = fmean(_mean(sweep[length], BASELINE_MODE, "latency_s") for length in lengths)
    for (mode, label), (colour, mark) in zip(labels.items(), _LOOKS, strict=True):
        look = {"color": colour, "marker": mark, "linestyle": "none"}
        took_s = [_mean(sweep[length], mode, "latency_s") for length in lengths]
        latency.plot(lengths, took_s, label=label.text, **look)
        moved = [_mean(sweep[length], mode, "network_bytes") for length in lengths]
        if not any(moved):
            latency.plot(lengths, [local_s] * len(lengths), color=colour, linewidth=0.8)
            continue
        network.plot(lengths, [size / 1e9 for size in moved], **look)
        predicted = [_predicted_bytes(sweep[length], mode) for length in lengths]
        network.plot(lengths, [size / 1e9 for size in predicted], color=colour, linewidth=0.8)
        rate = moved[-1] / max(took_s[-1] - local_s, 1e-9)
        model_s = [local_s + size / rate for size in predicted]
        latency.plot(lengths, model_s, color=colour, linewidth=0.8)
    for axes, title in ((latency, "Decode: latency (s)"), (network, "Decode: network (GB)")):
        axes.set(xscale="log", yscale="log", title=title)
        axes.tick_params(axis="y", left=True, labelleft=True)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(visible=True, linewidth=0.3)
    network.set_xlabel("prompt (tokens)")
    network.set_xticks(lengths, [str(length) for length in lengths])
    network.minorticks_off()
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def measured(folder: Path) -> Numbers:
    """The numbers of a finished experiment."""
    asked = folder / "built_from.json"
    runs = [
        folder / "runs" / run.mode / f"rep{run.settings.repeat}.json"
        for run in read_record(asked, Asked).expectation.runs
    ]
    files = [folder / f"{name}.csv" for name in publish.NUMBERS]
    return publish.read_numbers(asked, folder / "model" / "manifest.json", runs, files)


def _predicted_bytes(numbers: Numbers, mode: str) -> int:
    record = next(one for one in numbers.records if one.mode == mode)
    rows = predict(record, numbers.manifest)
    return sum(row.expected_bytes for row in rows if row.phase == "decode")


def _mean(numbers: Numbers, mode: str, quantity: str) -> float:
    return _decode_of(numbers, mode).mean(quantity) or 0.0


def _decode_of(numbers: Numbers, mode: str) -> TableRow:
    (row,) = (row for row in numbers.table if (row.mode, row.phase) == (mode, "decode"))
    return row


def _cell(row: TableRow) -> str:
    return f"{gigabytes_text(row)} GB, {latency_text(row)} s"


if __name__ == "__main__":
    sweep = {one.records[0].prompt_tokens: one for one in map(measured, map(Path, sys.argv[1:]))}
    text = contexts_markdown(sweep)
    write_atomically(Path("results/context.md"), text.encode())
    save(contexts(sweep), Path("results/context.svg"))
    print(f"{text}\nresults/context.svg shows it.")
