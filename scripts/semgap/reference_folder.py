"""Folders of recorded results: how one is made of a finished experiment, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from semgap.csv_rows import read_rows, write_rows
from semgap.errors import SemgapError
from semgap.records import Host, Manifest, RunRecord, read_record, write_record
from semgap.summary import SummaryRow
from semgap.versus_reference import Measured, Workload, workload_of

SUMMARY = "summary.csv"
MANIFEST = "manifest.json"
WORKLOAD = "workload.json"
HARDWARE = "hardware.json"
FILES = (SUMMARY, MANIFEST, WORKLOAD, HARDWARE)

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


def recorded_folders(root: Path) -> list[Path]:
    """The folders under ``root`` that hold a recorded run, in the order of their names.

    A folder without a summary holds something else.
    """
    return sorted(path.parent for path in root.glob(f"*/{SUMMARY}"))


def read_reference(folder: Path) -> Measured:
    """Read a recorded run; files that are not part of one are ignored.

    Raises:
        SemgapError: a file is missing or cannot be read.
    """
    return Measured(
        name=folder.name,
        summary=read_rows(folder / SUMMARY, SummaryRow),
        manifest=read_record(folder / MANIFEST, Manifest),
        workload=read_record(folder / WORKLOAD, Workload),
        host=read_record(folder / HARDWARE, Host),
    )


def measured_of(summary: Path, manifest: Path, runs: Sequence[Path]) -> Measured:
    """Read what is compared or recorded of an experiment.

    Raises:
        SemgapError: a file is missing or cannot be read.
    """
    records = [read_record(path, RunRecord) for path in runs]
    return Measured(
        name=records[0].experiment,
        summary=read_rows(summary, SummaryRow),
        manifest=read_record(manifest, Manifest),
        workload=workload_of(records),
        host=records[0].host,
    )


def record_reference(experiment_folder: Path, name: str, root: Path) -> Path:
    """Record a finished experiment as ``root/name``.

    The machine's name is left out: it says nothing about speed, and what is recorded is published.

    Returns:
        The new folder.

    Raises:
        SemgapError: the experiment is not finished, the name is unfit, or it is taken.
    """
    if not _NAME.fullmatch(name):
        raise SemgapError(
            f"'{name}' is no name for recorded results.",
            "Use lower-case letters, digits, dots, hyphens and underscores.",
        )
    folder = root / name
    if folder.exists():
        raise SemgapError(f"'{folder}' exists already.", "Choose another name, or delete it first.")
    summary = experiment_folder / SUMMARY
    if not summary.exists():
        raise SemgapError(
            f"'{experiment_folder}' holds no finished experiment.", "Run `make table` first."
        )
    measured = measured_of(
        summary,
        experiment_folder / "model" / MANIFEST,
        _summarised_runs(experiment_folder, read_rows(summary, SummaryRow)),
    )
    write_record(folder / MANIFEST, measured.manifest)
    write_record(folder / WORKLOAD, measured.workload)
    write_record(folder / HARDWARE, msgspec.structs.replace(measured.host, name=""))
    # Last, since it is what makes the folder a recorded run.
    write_rows(folder / SUMMARY, SummaryRow, measured.summary)
    return folder


def _summarised_runs(experiment_folder: Path, rows: Sequence[SummaryRow]) -> list[Path]:
    """The run records behind a summary; others may lie beside them from an older configuration."""
    repeats = {row.mode: row.n for row in rows}
    return [
        experiment_folder / "runs" / mode / f"rep{repeat}.json"
        for mode, n in repeats.items()
        for repeat in range(1, n + 1)
    ]
