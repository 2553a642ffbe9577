#!/usr/bin/env python3
"""Hold the claims against an experiment's data, and report what became of each."""

from __future__ import annotations

import argparse
from pathlib import Path

from semgap.cli import run_script, script_parser


def check(arguments: argparse.Namespace) -> None:
    """Write the report and its rows, whatever they say."""
    from semgap.claims.evaluate import evaluate
    from semgap.claims.evidence import Evidence, step_bytes
    from semgap.claims.load import load_claims
    from semgap.claims.outcome import Outcome
    from semgap.claims.report import claims_report
    from semgap.csv_rows import read_rows, write_rows
    from semgap.records import Manifest, RunRecord, read_record, write_atomically
    from semgap.summary import RepeatRow

    claims = load_claims(arguments.claims)
    manifest = read_record(arguments.manifest, Manifest)
    records = [read_record(path, RunRecord) for path in arguments.runs]
    evidence = Evidence(
        experiment=arguments.experiment,
        repeats=read_rows(arguments.repeats, RepeatRow),
        steps=[step for record in records for step in step_bytes(record)],
        weights_bytes=manifest.weights_bytes,
        kv_cache_bytes_per_token=manifest.kv_cache_bytes_per_token,
    )
    outcomes = evaluate(claims, evidence)
    write_rows(arguments.csv, Outcome, outcomes)
    write_atomically(arguments.markdown, claims_report(outcomes).encode())


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--repeats", required=True, type=Path, help="the repeats' rows (CSV)")
    parser.add_argument("--runs", required=True, type=Path, nargs="+", help="run records")
    parser.add_argument("--manifest", required=True, type=Path, help="the model's manifest")
    parser.add_argument("--claims", required=True, type=Path, help="the claims (YAML)")
    parser.add_argument("--experiment", required=True, help="its name, for what must pass in it")
    parser.add_argument("--markdown", required=True, type=Path, help="writes this file")
    parser.add_argument("--csv", required=True, type=Path, help="writes this file")
    run_script(parser, check)


if __name__ == "__main__":
    main()
