"""The one way from evidence to what is published: numbers, then reports and figures of them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from semgap.analysis.catalogue import FIGURES, REPORTS
from semgap.analysis.claims.evaluation import Measured, OutcomeRow, judge
from semgap.analysis.evidence import Evidence
from semgap.analysis.expectation import Asked
from semgap.analysis.gates.belonging import check_belonging
from semgap.analysis.gates.consistency import check_beside, check_consistency
from semgap.analysis.gates.correctness import check_same_setup
from semgap.analysis.gates.counting import check_content, check_counts
from semgap.analysis.gates.timing import check_clocks, check_exchanges, check_goodput, check_link
from semgap.analysis.numbers.budget import BudgetRow, budget_rows
from semgap.analysis.numbers.comparison import ComparisonRow, comparisons
from semgap.analysis.numbers.counts import CountRow, count_rows
from semgap.analysis.numbers.numbers import AnswerRow, Numbers
from semgap.analysis.numbers.prediction import predict
from semgap.analysis.numbers.same_work import SameWorkRow, same_work_rows
from semgap.analysis.numbers.second_clock import (
    ClockRow,
    clock_rows,
    exchanges_of,
    with_second_clock,
)
from semgap.analysis.numbers.summary import RepeatRow, SummaryRow, repeat_rows, summarise
from semgap.measurement.run_record import RunRecord
from semgap.model.manifest import Agreement, Manifest
from semgap.plumbing.files import read_record, read_rows, write_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUMBERS: dict[str, type[msgspec.Struct]] = {
    "counts": CountRow,
    "repeats": RepeatRow,
    "summary": SummaryRow,
    "comparisons": ComparisonRow,
    "claims": OutcomeRow,
    "clocks": ClockRow,
    "same_work": SameWorkRow,
    "budgets": BudgetRow,
    "answer": AnswerRow,
}


def numbers(evidence: Evidence) -> Numbers:
    """Check the evidence and compute all numbers from it.

    Raises:
        MeasurementError: the runs are not what was asked, contradict themselves or each other, or
            moved other bytes than their policies say.
    """
    check_belonging(evidence)
    check_consistency(evidence.runs)
    records = [run.record for run in evidence.runs]
    check_beside(records)
    check_same_setup(records)
    for record in records:
        check_link(record)
    predicted = [predict(record, evidence.manifest) for record in records]
    runs = list(zip(evidence.runs, predicted, strict=True))
    counts = []
    for run, expected in runs:
        rows = count_rows(run.record, expected, run.traffic)
        check_content(run.record, rows, run.record_file)
        check_counts(rows, run.record_file)
        counts += rows
    exchanges = [exchanges_of(run.turns) for run in evidence.runs]
    for run, seen in zip(evidence.runs, exchanges, strict=True):
        check_exchanges(run, seen)
    clocks = clock_rows(zip(records, exchanges, strict=True))
    check_clocks(clocks)
    budgets = budget_rows(records)
    check_goodput(budgets)
    repeats = repeat_rows(
        (with_second_clock(run.record, seen), run.traffic, expected)
        for (run, expected), seen in zip(runs, exchanges, strict=True)
    )
    return Numbers(
        evidence.expectation,
        evidence.manifest,
        records,
        counts,
        repeats,
        summarise(repeats),
        comparisons(repeats),
        judge(evidence.expectation.claims, Measured(repeats, records, evidence.manifest)),
        clocks,
        same_work_rows(repeats),
        budgets,
        _answer(evidence.agreement),
    )


def _answer(agreement: Agreement | None) -> Sequence[AnswerRow]:
    if agreement is None or agreement.prompt_text is None or agreement.continuation is None:
        return ()
    return [AnswerRow(agreement.prompt_text, agreement.continuation)]


def write_numbers(found: Numbers, files: Iterable[Path]) -> None:
    """Write each file with the rows that its name says."""
    for file in files:
        write_rows(file, NUMBERS[file.stem], getattr(found, file.stem))


def read_numbers(
    expectation: Path, manifest: Path, runs: Sequence[Path], files: Iterable[Path]
) -> Numbers:
    """Read what ``write_numbers`` wrote, and what it speaks of.

    Raises:
        SemgapError: names the file that holds something else.
    """
    of = {file.stem: file for file in files}
    return Numbers(
        read_record(expectation, Asked).expectation,
        read_record(manifest, Manifest),
        [read_record(run, RunRecord) for run in runs],
        read_rows(of["counts"], CountRow),
        read_rows(of["repeats"], RepeatRow),
        read_rows(of["summary"], SummaryRow),
        read_rows(of["comparisons"], ComparisonRow),
        read_rows(of["claims"], OutcomeRow),
        read_rows(of["clocks"], ClockRow),
        read_rows(of["same_work"], SameWorkRow),
        read_rows(of["budgets"], BudgetRow),
        read_rows(of["answer"], AnswerRow),
    )


def read_experiment(folder: Path) -> Numbers:
    """Read the numbers of a finished experiment.

    Raises:
        SemgapError: names the file that is missing, or holds something else.
    """
    asked = folder / "built_from.json"
    runs = [
        folder / "runs" / run.mode / f"rep{run.settings.repeat}.json"
        for run in read_record(asked, Asked).expectation.runs
    ]
    files = [folder / f"{name}.csv" for name in NUMBERS]
    return read_numbers(asked, folder / "model" / "manifest.json", runs, files)


def reports(found: Numbers) -> Iterator[tuple[str, str]]:
    """Each report's name and text."""
    for name, published in REPORTS.items():
        yield name, published.maker()(found)


def figure(name: str, found: Numbers) -> "Figure":
    """The figure of a name, without a suffix."""
    drawn: Figure = FIGURES[name].maker()(found)
    return drawn
