"""What README and results/reference/README.md show of the recorded results."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from semgap.analysis.numbers.comparison import BASELINE_MODE, PROPOSED_MODE, ComparisonRow
from semgap.analysis.numbers.ladder import Rung, ladder
from semgap.analysis.numbers.numbers import Numbers
from semgap.analysis.reports.columns import ABSENT
from semgap.analysis.reports.ladder import percent, times
from semgap.doctor.experiment import needs_of
from semgap.maintain.archive import ARCHIVE, SUFFIX
from semgap.pipeline.config import read_config
from semgap.plumbing.files import read_rows
from semgap.plumbing.markup import escaped_markdown, markdown_table

HEADLINE = Path("results", "reference", "gptj-6b-h200-tcp-graph")
LADDER_FIGURES = ("gptj-6b-h200-ladder", "mini-ladder-1gbit")
HEADLINE_SWEEP = Path("results", "reference", "mini-links")
HEADLINE_PEERS = Path("results", "reference", "smollm2-peers")
GPU_PEERS = Path("results", "reference", "llama2-7b-h200-peers")
# What makes each record; the default's configuration needs no name.
COMMANDS = {
    "gptj-6b-h100-context": "make sweep SET=gpu-host CONFIG=config/gptj-6b-seeded.yaml "
    "SWEEP=config/sweeps/context.yaml",
    "gptj-6b-h100-decode-eager": "make decode-rate SET=gpu-host CONFIG=config/gptj-6b-seeded.yaml",
    "gptj-6b-h200-decode-graph": "make decode-rate SET=gpu-host CONFIG=config/gptj-6b-graph.yaml",
    "gptj-6b-h100-tcp": "make table SET=gpu-host CONFIG=config/gptj-6b-eager.yaml",
    "gptj-6b-h200-tcp-graph": "make table SET=gpu-host CONFIG=config/gptj-6b-graph.yaml",
    "gptj-6b-h100-torch_rpc": "make table SET=gpu-host CONFIG=config/gptj-6b-seeded.yaml",
    "gptj-6b-h200-ladder": "make table SET=gpu-host CONFIG=config/gptj-6b-ladder.yaml",
    "gptj-6b-h200-links": "make sweep SET=gpu-host CONFIG=config/gptj-6b-graph.yaml "
    "SWEEP=config/sweeps/context-links.yaml",
    "gptj-6b-h200-operators": "make table SET=gpu-host CONFIG=config/gptj-6b-operators.yaml",
    "llama2-7b-h200-decode": "make decode-rate "
    "LLAMA_CPP='-DGGML_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=90' SET=gpu-host "
    "SWEEP=config/sweeps/decode-systems.yaml CONFIG=config/llama2-7b.yaml",
    "llama2-7b-h200-peers": "make peers LLAMA_CPP='-DGGML_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=90' "
    "SET=gpu-host CONFIG=config/peers-gpu.yaml",
    "mini-ladder": "make table CONFIG=config/mini-ladder.yaml",
    "mini-ladder-1gbit": "make table CONFIG=config/mini-ladder-link.yaml",
    "mini-links": "make sweep",
    "mini-operators": "make sweep SWEEP=config/sweeps/operators.yaml",
    "mini-tcp": "make table CONFIG=config/mini-tcp.yaml",
    "mini-tcp-1gbit": "make table CONFIG=config/mini-link.yaml",
    "mini-tcp-1gbit-10ms": "make table CONFIG=config/mini-link-delay.yaml",
    "mini-torch_rpc": "make table",
    "smollm2-h100": "make table SET=gpu-host CONFIG=config/smollm2-gpu.yaml",
    "smollm2-ladder": "make table CONFIG=config/smollm2-ladder.yaml",
    "smollm2-ladder-1gbit": "make table CONFIG=config/smollm2-ladder-link.yaml",
    "smollm2-peers": "make peers CONFIG=config/peers.yaml",
    "smollm2-peers-1ms": "make peers CONFIG=config/peers-link.yaml",
    "smollm2-tcp": "make table CONFIG=config/smollm2.yaml",
}


def headline(project: Path) -> str:
    """The one table and figure of the README, and what they show."""
    folder = project / HEADLINE
    ratios = {
        row.mode: row.ratio
        for row in read_rows(folder / "comparisons.csv", ComparisonRow)
        if (row.phase, row.baseline) == ("decode", BASELINE_MODE)
    }
    table, _, _notes = (folder / "table.md").read_text(encoding="utf-8").partition("\n\n")
    return (
        f"{table}\n\nDecoding takes {ratios['naive']:.3g} times as long as Local if nothing is "
        f"known of a tensor, {ratios['remote_cache']:.3g} times if only the weights are kept, and "
        f"{ratios[PROPOSED_MODE]:.3g} times if the KV cache is kept, too. Notes and warnings: "
        f"[{HEADLINE}/table.md]({HEADLINE}/table.md).\n\n"
        f'<img src="{HEADLINE}/decode.svg" width="420" alt="Decode of each mode: latency and '
        'network traffic of every repeat, logarithmic axes">\n\n'
        "How that grows with the link, for the embedded default on two cores: measured, and the "
        f"[law]({HEADLINE_SWEEP}/scaling.md) that fits. [explorer.html]({HEADLINE_SWEEP}/"
        "explorer.html), opened in a browser, computes any other link and model. Beside it "
        f"[living systems]({HEADLINE_PEERS}/peers.md) with a pretrained model, measured from "
        f"outside by the same instruments; [on a GPU]({GPU_PEERS}/peers.md) so, too.\n\n"
        f'<img src="{HEADLINE_SWEEP}/scaling.svg" width="400" alt="Latency of a decode step of '
        'each mode over the rate of the link: measured points on the lines of the law"> '
        f'<img src="{HEADLINE_PEERS}/peers.svg" width="400" alt="Decode of modes and of living '
        'systems, divided by that of each without a network">\n'
    )


def needs(project: Path, recorded: Mapping[str, Numbers]) -> str:
    """What each recorded experiment with a configuration of its own needs, and how long it took."""
    rows = []
    for name, command in COMMANDS.items():
        found = recorded.get(name)
        if found is None or not command.startswith(("make table", "make peers")):
            continue
        file = command.partition("CONFIG=")[2] or "config/default.yaml"
        needed = needs_of(read_config(project / file), found.manifest.weights_bytes)
        took_s = sum(record.end_s - record.begin_s for record in found.records)
        sizes = (needed.memory_bytes, needed.gpu_memory_bytes, needed.disk_bytes)
        rows.append(
            [
                f"`{file}`",
                *(f"{size / 1e9:.1f}" if size else ABSENT for size in sizes),
                str(needed.runs),
                f"{took_s / 60:.1f}",
            ]
        )
    header = (
        *("Experiment", "Memory (GB)", "GPU memory (GB)", "Disk (GB)"),
        *("Runs", "They took (min)"),
    )
    return f"{markdown_table(header, rows)}\n"


def is_ladder(found: Numbers) -> bool:
    """Whether an experiment has modes that encode, or several of the operator level."""
    policies = {record.policy for record in found.records}
    return any(one.encoding for one in policies) or len({one.executor for one in policies}) > 2


def ladders(recorded: Mapping[str, Numbers]) -> str:
    """What each mode closes of the gap from naive to semantic, in records that have such modes."""
    columns = {
        name: {rung.label: rung for rung in ladder(found)}
        for name, found in recorded.items()
        if is_ladder(found)
    }
    labels = dict.fromkeys(label for rungs in columns.values() for label in rungs)
    cells = [
        [
            escaped_markdown(label),
            next(rungs[label].knows for rungs in columns.values() if label in rungs),
            *(_closed(rungs.get(label)) for rungs in columns.values()),
        ]
        for label in labels
    ]
    links = (f"[{name}](../results/reference/{name}/ladder.md)" for name in columns)
    table = markdown_table(("Mode", "Must know", *links), cells, text_columns=2)
    figures = "\n".join(
        f'<img src="../results/reference/{name}/ladder.svg" width="380" alt="{name}: the share of '
        'the gap that each mode closes, in bytes and in seconds">'
        for name in columns
        if name in LADDER_FIGURES
    )
    return f"""\
Closed of the gap between Naive and `\\sys` in a decode step, in bytes / in seconds; and the step ÷
`\\sys`'s:

{table}

{figures}
"""


def _closed(rung: Rung | None) -> str:
    if rung is None:
        return ABSENT
    closed = percent(rung.closed_bytes_ratio), percent(rung.closed_s_ratio)
    return f"{' / '.join(closed)}; {times(rung.of_semantic_ratio)}"


def all_recorded(reference: Path) -> str:
    """Each recorded experiment: the command that makes it, its table and its notes."""
    return "\n".join(
        part
        for name, command in COMMANDS.items()
        for part in (
            _sweep(reference, name, command)
            if reference / name in sweeps_in(reference)
            else _experiment(reference, name, command)
        )
    )


def _experiment(reference: Path, name: str, command: str) -> Iterator[str]:
    text = (reference / name / "table.md").read_text(encoding="utf-8")
    table, _, notes = text.partition("\n\n")
    said = [line for line in notes.splitlines() if line.startswith(("- Exp", "- Comp", "- Meas"))]
    yield f"## {name}\n\n`{command}`\n\n{table}\n"
    yield "\n".join(
        [*said, f"- {notes.count('**Warning**')} warnings: [table.md]({name}/table.md)"]
    )
    yield f"\n![Decode of each mode]({name}/decode.svg)\n"


def sweeps_in(reference: Path) -> list[Path]:
    """The recorded sweeps: folders with an archive for each point."""
    archives = reference.glob(f"*/*{SUFFIX}")
    return sorted({file.parent for file in archives if file.name != ARCHIVE})


def _sweep(reference: Path, name: str, command: str) -> Iterator[str]:
    text = (reference / name / "scaling.md").read_text(encoding="utf-8")
    _, _, decode = text.partition("## Decode, measured")
    yield f"## {name}\n\n`{command}`\n\nDecode{decode.partition('## ')[0].rstrip()}\n"
    yield f"The law, and what it says of other links and models: [scaling.md]({name}/scaling.md)"
    yield f"\n![Latency of a decode step: measured and by the law]({name}/scaling.svg)\n"
