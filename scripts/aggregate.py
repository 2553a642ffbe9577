#!/usr/bin/env python3
"""Check the runs and that all modes computed the same, then compute all numbers from them."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script


def aggregate(
    expectation: Annotated[Path, "what the configuration says that the runs are"],
    manifest: Annotated[Path, "describes the model"],
    prompt: Annotated[Path, "the prompt's token ids"],
    agreement: Annotated[Path, "how far the model was from transformers' own passes"],
    expected: Annotated[Path, "the logits of those (.npy)"],
    runs: Annotated[list[Path], "run records, in the order of the expectation"],
    logits: Annotated[list[Path], "logits of the runs, in the same order"],
    captures: Annotated[list[Path], "captures of the runs, in the same order"],
    traffic: Annotated[list[Path], "traffic of the runs, in the same order"],
    turns: Annotated[list[Path], "who spoke when in the runs, in the same order"],
    numbers: Annotated[list[Path], "writes these, each with what its name says (CSV)"],
    built_from: Annotated[Path, "writes the expectation that was met"],
) -> None:
    import numpy as np

    from semgap.analysis import publish
    from semgap.analysis.evidence import read_evidence
    from semgap.analysis.gates.belonging import check_files
    from semgap.analysis.gates.correctness import RunResult, check_correctness, check_expected
    from semgap.model.manifest import Agreement
    from semgap.model.prompt import Prompt
    from semgap.plumbing.files import read_record, write_atomically

    evidence = read_evidence(expectation, manifest, agreement, runs, traffic, turns)
    found = publish.numbers(evidence)
    check_files(evidence, read_record(prompt, Prompt), logits, captures)
    answers = zip(evidence.runs, logits, strict=True)
    results = [RunResult(run.record, np.load(file)) for run, file in answers]
    check_correctness(results)
    check_expected(results, np.load(expected), read_record(agreement, Agreement).tolerance)
    publish.write_numbers(found, numbers)
    write_atomically(built_from, expectation.read_bytes())


if __name__ == "__main__":
    run_script(aggregate)
