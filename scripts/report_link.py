#!/usr/bin/env python3
"""Report what the link benchmark found: goodput, round trips, bytes on the wire."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script


def report(
    times: Annotated[Path, "time samples (CSV)"],
    wire: Annotated[Path, "captured bytes (CSV)"],
    facts: Annotated[Path, "where it was (JSON)"],
    markdown: Annotated[Path, "writes this file"],
    goodput: Annotated[Path, "writes goodput rows (CSV)"],
    round_trips: Annotated[Path, "writes this file (CSV)"],
    figures: Annotated[list[Path], "writes these files"],
) -> None:
    from semgap.linkbench.rates import (
        GoodputRow,
        LinkFacts,
        RoundTripRow,
        TimeSample,
        WireSample,
        goodput_rows,
        round_trip_rows,
    )
    from semgap.linkbench.report import link_report, plot_goodput
    from semgap.plumbing.files import read_record, read_rows, write_atomically, write_rows

    link = read_record(facts, LinkFacts)
    samples = read_rows(times, TimeSample)
    goodputs = goodput_rows(samples, read_rows(wire, WireSample), link.contenders)
    trips = round_trip_rows(samples)
    write_rows(goodput, GoodputRow, goodputs)
    write_rows(round_trips, RoundTripRow, trips)
    plot_goodput(goodputs, figures)
    write_atomically(markdown, link_report(goodputs, trips, link).encode())


if __name__ == "__main__":
    run_script(report)
