#!/usr/bin/env python3
"""Turn one run's capture into bytes for each phase and direction."""

import argparse
from pathlib import Path

from semgap.analysis.traffic import TrafficRow, traffic_of_run
from semgap.measurement.run_record import RunRecord
from semgap.pipeline.cli import run_script, script_parser
from semgap.plumbing.csv_rows import write_rows
from semgap.plumbing.files import read_record


def parse(arguments: argparse.Namespace) -> None:
    """Write the traffic rows."""
    record = read_record(arguments.run, RunRecord)
    write_rows(arguments.traffic, TrafficRow, traffic_of_run(record, arguments.capture))


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--run", required=True, type=Path, help="the run's record")
    parser.add_argument("--capture", required=True, type=Path, help="the run's capture (.pcap)")
    parser.add_argument("--traffic", required=True, type=Path, help="writes this CSV file")
    run_script(parser, parse)


if __name__ == "__main__":
    main()
