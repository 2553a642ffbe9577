#!/usr/bin/env python3
"""Turn one run's capture into bytes for each phase and direction, and into who spoke when."""

from pathlib import Path
from typing import Annotated

from semgap.analysis.numbers.traffic import TrafficRow, traffic_of_run, turns_of_run
from semgap.measurement.run_record import RunRecord
from semgap.pcap.turns import Turn
from semgap.pipeline.cli import run_script
from semgap.plumbing.files import read_record, write_rows


def parse(
    run: Annotated[Path, "the run's record"],
    capture: Annotated[Path, "the run's capture (.pcap)"],
    traffic: Annotated[Path, "writes the bytes (CSV)"],
    turns: Annotated[Path, "writes who spoke when (CSV)"],
) -> None:
    record = read_record(run, RunRecord)
    write_rows(traffic, TrafficRow, traffic_of_run(record, capture))
    write_rows(turns, Turn, turns_of_run(record, capture))


if __name__ == "__main__":
    run_script(parse)
