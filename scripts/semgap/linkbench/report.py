"""The report on the link, as Markdown, and its figure."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from semgap.linkbench.rates import Compared, GoodputRow, LinkFacts, RoundTripRow
from semgap.plumbing.markup import markdown_table


def link_report(
    goodput: Sequence[GoodputRow], round_trips: Sequence[RoundTripRow], facts: LinkFacts
) -> str:
    """Goodput by message size, round trips, and bytes on the wire."""
    return f"""# The link: transports beside plain sockets and libraries

## Goodput (GB/s), median of the rounds

{_goodput_table(goodput)}

A message goes one way, its acknowledgement of 8 bytes comes back, then the next one goes. In
brackets: the ratio to plain sockets in the same round, geometric mean of the rounds with its 95 %
interval.

## Round trip: one number there, 200 KB back

{_round_trip_table(round_trips)}

## Bytes on the wire ÷ content

{_wire_table(goodput, facts)}

{_notes(facts)}
"""


def _goodput_table(rows: Sequence[GoodputRow]) -> str:
    names = list(dict.fromkeys(row.contender for row in rows))
    cells = {
        (row.payload_bytes, row.contender): f"{row.median_bytes_per_s / 1e9:.3g} ({_ratio(row)})"
        for row in rows
    }
    sizes = sorted({row.payload_bytes for row in rows})
    return markdown_table(
        ("Message", *names),
        [(_size(size), *(cells.get((size, name), "–") for name in names)) for size in sizes],
    )


def _round_trip_table(rows: Sequence[RoundTripRow]) -> str:
    cells = [
        (
            *(row.contender, f"{row.median_s * 1e6:.1f}", f"{row.p99_s * 1e6:.1f}"),
            *(_ratio(row), str(row.n)),
        )
        for row in sorted(rows, key=lambda row: row.median_s)
    ]
    return markdown_table(("Contender", "Median (µs)", "p99 (µs)", "÷ plain sockets", "n"), cells)


def _wire_table(rows: Sequence[GoodputRow], facts: LinkFacts) -> str:
    if facts.no_wire_samples:
        return f"Nothing was captured: {facts.no_wire_samples}"
    captured: dict[str, list[GoodputRow]] = {}
    for row in rows:
        if row.wire_of_payload is not None:
            captured.setdefault(row.contender, []).append(row)
    sizes = sorted({row.payload_bytes for own in captured.values() for row in own})
    return markdown_table(
        ("Contender", *map(_size, sizes), f"GB/s while captured, {_size(sizes[-1])}"),
        [
            (
                name,
                *(f"{row.wire_of_payload:.5f}" for row in own),
                f"{(own[-1].captured_bytes_per_s or 0) / 1e9:.3g}",
            )
            for name, own in captured.items()
        ],
    )


def _notes(facts: LinkFacts) -> str:
    machine = facts.machine
    notes = [
        f"{machine.cpu}, {machine.cores:g} cores, Linux {machine.kernel}, torch {facts.torch}; "
        f"address {facts.host}; transports deliver to {facts.device}, all others to host memory.",
        "Contenders take turns within each round; client and peers have different cores where "
        "there is more than one. After a reply, the peer of `tcp` looks for the next message for "
        "1 ms before it sleeps; the others' sleep at once.",
        f"Congestion control: {facts.congestion_control} for plain sockets and `tcp`; "
        f"{facts.system_congestion_control}, the system's, for all others.",
        "Wire: TCP payload of both directions by tcpdump, retransmissions not counted.",
    ]
    if facts.iperf3_bytes_per_s:
        rates = sorted(rate / 1e9 for rate in facts.iperf3_bytes_per_s)
        notes.append(
            f"iperf3, one stream, {facts.congestion_control}: {rates[0]:.2f} to {rates[-1]:.2f} "
            "GB/s (it sends one small buffer over and over, which stays in the cache)."
        )
    return "\n".join(f"- {note}" for note in notes)


def _ratio(row: Compared) -> str:
    if row.of_ceiling_low is None or row.of_ceiling_high is None:
        return f"{row.of_ceiling:.2f}"
    half = max(row.of_ceiling_high - row.of_ceiling, row.of_ceiling - row.of_ceiling_low)
    return f"{row.of_ceiling:.2f} ± {half:.2f}"


def _size(size_bytes: int) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:g} {name}"
    return f"{size_bytes} B"


# Told apart by shape too, for readers without colours.
_MARKERS = "osD^vPX"


def plot_goodput(rows: Sequence[GoodputRow], files: Sequence[Path]) -> None:
    """Draw each contender's goodput over the message size, into files by their suffix."""
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    for index, name in enumerate(dict.fromkeys(row.contender for row in rows)):
        own = [
            (row.payload_bytes, row.median_bytes_per_s / 1e9)
            for row in rows
            if row.contender == name
        ]
        axes.plot(
            *zip(*own, strict=True),
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=4,
            linewidth=1.2,
            label=name,
        )
    axes.set(xscale="log", yscale="log", xlabel="message (bytes)", ylabel="goodput (GB/s)")
    axes.grid(visible=True, which="major", linewidth=0.3)
    axes.legend(fontsize=8)
    for file in files:
        figure.savefig(file, dpi=150, metadata={"Date": None} if file.suffix == ".svg" else None)
