"""How far an experiment's runs are, from the files that they leave; asks no running process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from semgap.measurement.run_record import RunRecord
from semgap.plumbing.files import read_record


@dataclass(frozen=True)
class Progress:
    """How far an experiment is.

    Attributes:
        done: number of finished runs by mode.
        wanted: number of runs by mode.
        durations_s: what the finished runs took, by mode.
        moved_bytes: content of the tensors of all finished runs' phases.
        active: whether a workflow uses the folder.
        latest: what the run that was not finished last said.
        latest_age_s: how long ago that was.
    """

    done: Mapping[str, int]
    wanted: Mapping[str, int]
    durations_s: Mapping[str, Sequence[float]]
    moved_bytes: int
    active: bool
    latest: str | None
    latest_age_s: float

    @property
    def remaining_s(self) -> float | None:
        """About how long the other runs take; None as long as none is finished."""
        known = {mode: fmean(took) for mode, took in self.durations_s.items() if took}
        if not known:
            return None
        # A mode of which none is finished may be the slowest.
        unknown = max(known.values())
        return sum(
            (count - self.done[mode]) * known.get(mode, unknown)
            for mode, count in self.wanted.items()
        )


def progress_of(results: Path, wanted: Mapping[str, int], active: bool, now_s: float) -> Progress:
    """Look at an experiment's folder.

    Args:
        active: whether a workflow uses the folder.
        now_s: the time, in seconds since the epoch.
    """
    done, durations_s, moved_bytes = dict.fromkeys(wanted, 0), {}, 0
    for mode, count in wanted.items():
        took = []
        for repeat in range(1, count + 1):
            file = results / "runs" / mode / f"rep{repeat}.json"
            if file.exists():
                record = read_record(file, RunRecord)
                took.append(file.stat().st_mtime - record.started_unix_ns / 1e9)
                moved_bytes += moved_bytes_of(record)
        done[mode], durations_s[mode] = len(took), took
    latest = _latest_log(results)
    return Progress(
        done=done,
        wanted=wanted,
        durations_s=durations_s,
        moved_bytes=moved_bytes,
        active=active,
        latest=None if latest is None else _last_line(latest),
        latest_age_s=0.0 if latest is None else max(0.0, now_s - latest.stat().st_mtime),
    )


def lines(progress: Progress) -> list[str]:
    """Progress in words."""
    count, total = sum(progress.done.values()), sum(progress.wanted.values())
    each = ", ".join(f"{mode} {progress.done[mode]}/{n}" for mode, n in progress.wanted.items())
    said = [
        f"{count} of {total} runs are measured ({each}); "
        f"their phases moved {progress.moved_bytes / 1e9:,.2f} GB of tensors."
    ]
    if count == total:
        said.append("Nothing is left to measure.")
    elif progress.remaining_s is None:
        said.append("How long the rest takes is known once a run is finished.")
    else:
        said.append(f"The rest takes about {duration_text(progress.remaining_s)}.")
    if not progress.active and count < total:
        said.append("No workflow runs in this folder: the command that began goes on.")
    elif progress.active and progress.latest is not None:
        said.append(f"{duration_text(progress.latest_age_s)} ago: {progress.latest}")
    return said


def moved_bytes_of(record: RunRecord) -> int:
    """Content of the tensors of a run's phases."""
    return sum(
        step.total_up_bytes + step.total_down_bytes
        for phase in record.phases
        for step in phase.steps
    )


def _latest_log(results: Path) -> Path | None:
    """The log of the benchmark job that wrote last."""
    logs = (results / "logs" / "benchmark").glob("*.log")
    return max(logs, key=lambda file: file.stat().st_mtime_ns, default=None)


def _last_line(log: Path) -> str | None:
    """What a log says last, without its time and the name of the module."""
    said = [line for line in log.read_text(encoding="utf-8").splitlines() if line]
    return said[-1].partition("semgap.measurement.job: ")[2] or said[-1] if said else None


def duration_text(seconds: float) -> str:
    """A duration as people say it."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
