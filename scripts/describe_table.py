#!/usr/bin/env python3
"""Record where a table comes from: sources, configuration, machine, and each run behind it."""

from __future__ import annotations

import argparse
from pathlib import Path

from semgap.cli import run_script, script_parser


def describe(arguments: argparse.Namespace) -> None:
    """Write the record."""
    from semgap.provenance import (
        KnownToCaller,
        Provenance,
        TableProvenance,
        collect_provenance,
        read_config,
        seeds_of,
    )
    from semgap.records import RunRecord, read_record, write_record

    config = read_config(arguments.config)
    runs = zip(arguments.runs, arguments.origins, strict=True)
    records = [
        (read_record(run, RunRecord), read_record(origin, Provenance)) for run, origin in runs
    ]
    records.sort(key=lambda pair: pair[0].started_unix_ns)
    known = KnownToCaller(
        config=config,
        interface=config["capture"]["interface"],
        model_fingerprint=records[0][0].model_fingerprint,
        seeds=seeds_of(config),
        job_order=tuple(f"{record.mode}, repeat {record.repeat}" for record, _ in records),
    )
    write_record(
        arguments.provenance,
        TableProvenance(
            table=collect_provenance(known), runs=tuple(origin for _, origin in records)
        ),
    )


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--config", required=True, type=Path, help="the whole configuration")
    parser.add_argument("--runs", required=True, type=Path, nargs="+", help="run records")
    parser.add_argument(
        "--origins",
        required=True,
        type=Path,
        nargs="+",
        help="provenance of the runs, in the same order",
    )
    parser.add_argument("--provenance", required=True, type=Path, help="writes this file")
    run_script(parser, describe)


if __name__ == "__main__":
    main()
