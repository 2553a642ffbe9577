#!/usr/bin/env python3
"""Measure what transports, plain sockets and well-kept libraries move over one link."""

import argparse
from pathlib import Path

from semgap.linkbench.link_settings import LinkJob
from semgap.pipeline.cli import add_settings, run_script, script_parser


def measure(arguments: argparse.Namespace) -> None:
    """Run the benchmark and write its samples."""
    from semgap.linkbench.measure import measure_link
    from semgap.linkbench.samples import TimeSample, WireSample
    from semgap.plumbing.csv_rows import write_rows
    from semgap.plumbing.files import write_record

    times, wire, facts = measure_link(arguments.settings, scratch=arguments.times.parent)
    write_rows(arguments.times, TimeSample, times)
    write_rows(arguments.wire, WireSample, wire)
    write_record(arguments.facts, facts)


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--times", required=True, type=Path, help="writes time samples (CSV)")
    parser.add_argument("--wire", required=True, type=Path, help="writes captured bytes (CSV)")
    parser.add_argument("--facts", required=True, type=Path, help="writes where it was (JSON)")
    add_settings(parser, LinkJob)
    run_script(parser, measure)


if __name__ == "__main__":
    main()
