#!/usr/bin/env python3
"""Check all runs of an experiment, and put the counts of their bytes side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from semgap.cli import log, run_script, script_parser
from semgap.settings import ExperimentSettings, add_flags, from_flags


def verify(arguments: argparse.Namespace) -> None:
    """Write the reports, whatever they say: what they say stops the table, not them."""
    from semgap.checks.catalogue import Finding
    from semgap.checks.counts import CountRow, count_rows
    from semgap.checks.evidence import Evidence, read_runs
    from semgap.checks.registry import run_checks
    from semgap.checks.report import checks_report, traffic_report
    from semgap.csv_rows import write_rows
    from semgap.records import Manifest, Prompt, read_record, write_atomically

    evidence = Evidence(
        manifest=read_record(arguments.manifest, Manifest),
        prompt=read_record(arguments.prompt, Prompt),
        settings=from_flags(arguments, ExperimentSettings),
        runs=read_runs(arguments.runs, arguments.logits, arguments.traffic),
    )
    rows = count_rows(evidence)
    findings = run_checks(evidence, rows)
    log.info("%d findings", len(findings))
    write_rows(arguments.counts, CountRow, rows)
    write_rows(arguments.findings, Finding, findings)
    write_atomically(arguments.traffic_report, traffic_report(rows).encode())
    write_atomically(arguments.checks_report, checks_report(findings).encode())


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    for name, what in (
        ("runs", "run records, in folders named for their modes"),
        ("logits", "logits of the runs, in the same order"),
        ("traffic", "traffic of the runs, in the same order"),
    ):
        parser.add_argument(f"--{name}", required=True, type=Path, nargs="+", help=what)
    parser.add_argument("--manifest", required=True, type=Path, help="describes the model")
    parser.add_argument("--prompt", required=True, type=Path, help="the prompt's token ids")
    parser.add_argument("--counts", required=True, type=Path, help="writes this CSV file")
    parser.add_argument("--findings", required=True, type=Path, help="writes this CSV file")
    parser.add_argument("--traffic-report", required=True, type=Path, help="writes this file")
    parser.add_argument("--checks-report", required=True, type=Path, help="writes this file")
    add_flags(parser, ExperimentSettings)
    run_script(parser, verify)


if __name__ == "__main__":
    main()
