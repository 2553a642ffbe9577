#!/usr/bin/env python3
"""Check the runs and that all modes computed the same, then summarise them over their repeats."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script


def aggregate(
    expectation: Annotated[Path, "what the configuration says that the runs are"],
    manifest: Annotated[Path, "describes the model"],
    prompt: Annotated[Path, "the prompt's token ids"],
    runs: Annotated[list[Path], "run records, in the order of the expectation"],
    logits: Annotated[list[Path], "logits of the runs, in the same order"],
    captures: Annotated[list[Path], "captures of the runs, in the same order"],
    traffic: Annotated[list[Path], "traffic of the runs, in the same order"],
    counts: Annotated[Path, "writes the counts of the same bytes beside each other (CSV)"],
    repeats: Annotated[Path, "writes every number of every repeat (CSV)"],
    summary: Annotated[Path, "writes each number's mean over the repeats (CSV)"],
    comparisons: Annotated[Path, "writes the latencies' ratios (CSV)"],
    reference: Annotated[Path, "folder of recorded experiments"],
    claims: Annotated[Path, "writes what the data say of each claim (CSV)"],
    versus: Annotated[Path, "writes bytes and ratios beside recorded ones (CSV)"],
    built_from: Annotated[Path, "writes the expectation that was met"],
) -> None:
    import numpy as np

    from semgap.analysis.claims.evaluation import Evidence, OutcomeRow, judge
    from semgap.analysis.claims.recorded import (
        Results,
        VersusRow,
        nearest_recorded,
        read_recorded,
        recorded_in,
        versus_recorded,
    )
    from semgap.analysis.comparison import ComparisonRow
    from semgap.analysis.comparison import comparisons as compare
    from semgap.analysis.consistency import RunFiles, check_belonging, check_consistency
    from semgap.analysis.correctness import RunResult, check_correctness
    from semgap.analysis.counts import CountRow, check_content, check_counts, count_rows
    from semgap.analysis.expectation import Asked
    from semgap.analysis.prediction import predict
    from semgap.analysis.summary import MeasuredRun, RepeatRow, SummaryRow, repeat_rows, summarise
    from semgap.analysis.traffic import TrafficRow
    from semgap.measurement.run_record import RunRecord
    from semgap.model.manifest import Manifest
    from semgap.model.prompt import Prompt
    from semgap.plumbing.csv_rows import read_rows, write_rows
    from semgap.plumbing.files import read_record, write_atomically

    files = [
        RunFiles(read_record(run, RunRecord), run, answer, capture, read_rows(rows, TrafficRow))
        for run, answer, capture, rows in zip(runs, logits, captures, traffic, strict=True)
    ]
    model = read_record(manifest, Manifest)
    asked = read_record(expectation, Asked).expectation
    check_belonging(asked, model, read_record(prompt, Prompt), files)
    check_consistency(files)
    check_correctness([RunResult(run.record, np.load(run.logits_file)) for run in files])
    predicted = [predict(run.record, model) for run in files]
    counted = [
        count_rows(run.record, rows, run.traffic)
        for run, rows in zip(files, predicted, strict=True)
    ]
    for run, must, counts_of_run in zip(files, predicted, counted, strict=True):
        check_content(run.record, must, run.record_file)
        check_counts(counts_of_run, run.record_file)
    write_rows(counts, CountRow, [row for counts_of_run in counted for row in counts_of_run])
    rows = repeat_rows(
        [
            MeasuredRun(run.record, run.traffic, expected)
            for run, expected in zip(files, predicted, strict=True)
        ]
    )
    summarised, compared = summarise(rows), compare(rows)
    write_rows(repeats, RepeatRow, rows)
    write_rows(summary, SummaryRow, summarised)
    write_rows(comparisons, ComparisonRow, compared)
    evidence = Evidence(rows, [run.record for run in files], model)
    write_rows(claims, OutcomeRow, judge(asked.claims, evidence))
    nearest = nearest_recorded(recorded_in(reference), asked, model)
    here = Results(asked.experiment, asked, model, summarised, compared)
    beside = versus_recorded(here, read_recorded(nearest)) if nearest else []
    write_rows(versus, VersusRow, beside)
    write_atomically(built_from, expectation.read_bytes())


if __name__ == "__main__":
    run_script(aggregate)
