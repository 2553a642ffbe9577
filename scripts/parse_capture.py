#!/usr/bin/env python3
"""Turn one run's capture into bytes for each phase and direction."""

from pathlib import Path
from typing import Annotated

from semgap.analysis.numbers.traffic import TrafficRow, traffic_of_run
from semgap.measurement.run_record import RunRecord
from semgap.pipeline.cli import run_script
from semgap.plumbing.files import read_record, write_rows


def parse(
    run: Annotated[Path, "the run's record"],
    capture: Annotated[Path, "the run's capture (.pcap)"],
    traffic: Annotated[Path, "writes this CSV file"],
) -> None:
    write_rows(traffic, TrafficRow, traffic_of_run(read_record(run, RunRecord), capture))


if __name__ == "__main__":
    run_script(parse)
