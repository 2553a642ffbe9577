"""What was measured in an experiment: all numbers follow from it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import structs

from semgap.analysis.claims import Claim
from semgap.analysis.expectation import Asked, Expectation
from semgap.analysis.numbers.traffic import TrafficRow
from semgap.measurement.run_record import RunRecord
from semgap.model.manifest import Agreement, Manifest
from semgap.pcap.turns import Turn
from semgap.plumbing.files import read_record, read_rows


@dataclass(frozen=True)
class Run:
    """A run's record, its file, and what its capture shows: the traffic, and who spoke when."""

    record: RunRecord
    record_file: Path
    traffic: Sequence[TrafficRow]
    turns: Sequence[Turn] = ()


@dataclass(frozen=True)
class Evidence:
    """What was asked and what ran."""

    expectation: Expectation
    manifest: Manifest
    runs: Sequence[Run]  # in the order of the expectation
    agreement: Agreement | None = None  # None where an old record has none

    def held_against(self, claims: tuple[Claim, ...]) -> "Evidence":
        """The same evidence for other claims than were asked for at its time."""
        return replace(self, expectation=structs.replace(self.expectation, claims=claims))


def read_evidence(
    expectation: Path,
    manifest: Path,
    agreement: Path | None,
    runs: Sequence[Path],
    traffic: Sequence[Path],
    turns: Sequence[Path],
) -> Evidence:
    """Read the files of an experiment; those of the runs in the order of the expectation.

    Raises:
        SemgapError: names the file that holds something else.
    """
    return Evidence(
        read_record(expectation, Asked).expectation,
        read_record(manifest, Manifest),
        [
            Run(read_record(run, RunRecord), run, read_rows(rows, TrafficRow), read_rows(of, Turn))
            for run, rows, of in zip(runs, traffic, turns, strict=True)
        ],
        None if agreement is None else read_record(agreement, Agreement),
    )
