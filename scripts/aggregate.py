#!/usr/bin/env python3
"""Check the runs and that all modes computed the same, then summarise them over their repeats."""

import argparse
from pathlib import Path

from semgap.pipeline.cli import run_script, script_parser


def aggregate(arguments: argparse.Namespace) -> None:
    """Write every number of every repeat, and its mean over the repeats."""
    import numpy as np

    from semgap.analysis.consistency import RunFiles, check_belonging, check_consistency
    from semgap.analysis.correctness import RunResult, check_correctness
    from semgap.analysis.expectation import Asked
    from semgap.analysis.summary import MeasuredRun, RepeatRow, SummaryRow, repeat_rows, summarise
    from semgap.analysis.traffic import TrafficRow
    from semgap.measurement.run_record import RunRecord
    from semgap.model.manifest import Manifest
    from semgap.model.prompt import Prompt
    from semgap.plumbing.csv_rows import read_rows, write_rows
    from semgap.plumbing.files import read_record, write_atomically

    runs = [
        RunFiles(read_record(run, RunRecord), run, logits, capture, read_rows(traffic, TrafficRow))
        for run, logits, capture, traffic in zip(
            arguments.runs, arguments.logits, arguments.captures, arguments.traffic, strict=True
        )
    ]
    check_belonging(
        read_record(arguments.expectation, Asked).expectation,
        read_record(arguments.manifest, Manifest),
        read_record(arguments.prompt, Prompt),
        runs,
    )
    check_consistency(runs)
    check_correctness([RunResult(run.record, np.load(run.logits_file)) for run in runs])
    rows = repeat_rows([MeasuredRun(run.record, run.traffic) for run in runs])
    write_rows(arguments.repeats, RepeatRow, rows)
    write_rows(arguments.summary, SummaryRow, summarise(rows))
    write_atomically(arguments.built_from, arguments.expectation.read_bytes())


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    for name, what in (
        ("expectation", "what the configuration says that the runs are"),
        ("manifest", "describes the model"),
        ("prompt", "the prompt's token ids"),
    ):
        parser.add_argument(f"--{name}", required=True, type=Path, help=what)
    for name, what in (
        ("runs", "run records, in the order of the expectation"),
        ("logits", "logits of the runs, in the same order"),
        ("captures", "captures of the runs, in the same order"),
        ("traffic", "traffic of the runs, in the same order"),
    ):
        parser.add_argument(f"--{name}", required=True, type=Path, nargs="+", help=what)
    parser.add_argument("--repeats", required=True, type=Path, help="writes this CSV file")
    parser.add_argument("--summary", required=True, type=Path, help="writes this CSV file")
    parser.add_argument(
        "--built-from", required=True, type=Path, help="writes the expectation that was met"
    )
    run_script(parser, aggregate)


if __name__ == "__main__":
    main()
