"""What the README shows of the recorded results, from the files that were built of them."""

from collections.abc import Mapping
from pathlib import Path

from semgap.analysis.numbers.comparison import BASELINE_MODE, PROPOSED_MODE, ComparisonRow
from semgap.analysis.numbers.summary import SummaryRow
from semgap.plumbing.files import read_rows

_REFERENCE = Path("results", "reference")
_EAGER, _GRAPH = _REFERENCE / "gptj-6b-h100-tcp", _REFERENCE / "gptj-6b-h100-tcp-graph"
# Both engines on one machine, many steps.
_STEPS = tuple(_REFERENCE / f"gptj-6b-h100-decode-{engine}" for engine in ("eager", "graph"))
_SWEEP = _REFERENCE / "gptj-6b-h100-context"
_SMALL = _REFERENCE / "mini-torch_rpc"
_SHOWN = (_EAGER, _GRAPH, _SMALL)


def recorded_in_readme(project: Path) -> str:
    """The recorded experiments that the README shows, and links to the others."""
    return "\n".join(
        (
            _experiment(project, _EAGER),
            _engines(project),
            _experiment(project, _GRAPH),
            _sweep(project),
            _experiment(project, _SMALL),
            _others(project),
        )
    )


def _experiment(project: Path, place: Path) -> str:
    table, _, notes = (project / place / "table.md").read_text(encoding="utf-8").partition("\n\n")
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


def _engines(project: Path) -> str:
    """What the faster engine changes, in front of its table."""
    eager_step_s, graph_step_s = (_local_step_s(project / place) for place in _STEPS)
    with_eager, with_graph = (
        f"{ratios['naive']:.3g}, {ratios['remote_cache']:.3g} and {ratios[PROPOSED_MODE]:.3g} times"
        for ratios in (_decode_of_local(project / place) for place in (_EAGER, _GRAPH))
    )
    return (
        "A slow Local flatters every other mode. With `worker.engine: graph` "
        f"([docs/engines.md](docs/engines.md)) a decode step of Local takes "
        f"{1e3 * graph_step_s:.1f} instead of {1e3 * eager_step_s:.1f} ms on the same machine, and "
        "what it costs not to know grows: decode of Naive, Remote Cache and \\sys takes "
        f"{with_graph} as long as Local, where with `eager`, on another machine of the kind, it "
        f"took {with_eager}.\n"
    )


def _local_step_s(folder: Path) -> float:
    means = {
        (row.phase, row.mode, row.quantity): row.mean
        for row in read_rows(folder / "summary.csv", SummaryRow)
    }
    return means["decode", BASELINE_MODE, "latency_per_step_s"]


def _decode_of_local(folder: Path) -> Mapping[str, float]:
    """Each mode's decode latency as a multiple of that of ``local``."""
    return {
        row.mode: row.ratio
        for row in read_rows(folder / "comparisons.csv", ComparisonRow)
        if (row.phase, row.baseline) == ("decode", BASELINE_MODE)
    }


def _sweep(project: Path) -> str:
    return "\n".join(
        (
            "What grows with the prompt, GPT-J 6B on the same kind of GPU, one repeat each "
            f"(`make context`; [{_SWEEP}/]({_SWEEP}/)):\n",
            (project / _SWEEP / "context.md").read_text(encoding="utf-8"),
            f"![Latency and network traffic of decode over the prompt's length]"
            f"({_SWEEP}/context.svg)\n",
        )
    )


def _others(project: Path) -> str:
    places = sorted(
        file.parent.relative_to(project)
        for file in (project / _REFERENCE).glob("*/manifest.json")
        if file.parent.relative_to(project) not in _SHOWN
    )
    return f"Recorded too: {', '.join(f'[{one.name}]({one}/table.md)' for one in places)}\n"
