#!/usr/bin/env python3
"""Report what the link benchmark found: goodput, round trips, bytes on the wire."""

import argparse
from pathlib import Path

from semgap.pipeline.cli import run_script, script_parser


def report(arguments: argparse.Namespace) -> None:
    """Write the report, its figure, and its numbers."""
    from semgap.linkbench.plot import plot_goodput
    from semgap.linkbench.rates import GoodputRow, RoundTripRow, goodput_rows, round_trip_rows
    from semgap.linkbench.report import link_report
    from semgap.linkbench.samples import LinkFacts, TimeSample, WireSample
    from semgap.plumbing.csv_rows import read_rows, write_rows
    from semgap.plumbing.files import read_record, write_atomically

    facts = read_record(arguments.facts, LinkFacts)
    times = read_rows(arguments.times, TimeSample)
    goodput = goodput_rows(times, read_rows(arguments.wire, WireSample), facts.contenders)
    round_trips = round_trip_rows(times)
    write_rows(arguments.goodput, GoodputRow, goodput)
    write_rows(arguments.round_trips, RoundTripRow, round_trips)
    plot_goodput(goodput, arguments.figures)
    write_atomically(arguments.markdown, link_report(goodput, round_trips, facts).encode())


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--times", required=True, type=Path, help="time samples (CSV)")
    parser.add_argument("--wire", required=True, type=Path, help="captured bytes (CSV)")
    parser.add_argument("--facts", required=True, type=Path, help="where it was (JSON)")
    parser.add_argument("--markdown", required=True, type=Path, help="writes this file")
    parser.add_argument("--goodput", required=True, type=Path, help="writes goodput rows (CSV)")
    parser.add_argument("--round-trips", required=True, type=Path, help="writes this file (CSV)")
    parser.add_argument("--figures", required=True, type=Path, nargs="+", help="writes these files")
    run_script(parser, report)


if __name__ == "__main__":
    main()
