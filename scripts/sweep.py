#!/usr/bin/env python3
"""Measure experiments that differ in some keys, each with cached runs of its own."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script

PROJECT = Path(__file__).parents[1]
# What Snakemake and this project note of each result.
_SHARED_NOTES = ("metadata", "incomplete", "expectations")
# How long to wait between two looks at what runs.
_LOOK_S = 0.2
CONFIGFILE = "the configuration with its key sweep, in one file or several"


def measure(
    configfile: Annotated[list[Path], CONFIGFILE],
    folder: Annotated[Path, "writes a configuration for each point here"],
    cores: Annotated[str, "for Snakemake"],
    profile: Annotated[Path | None, "for Snakemake, on a cluster: profiles/slurm, or a copy"],
    at_once: Annotated[int | None, "points at a time, on a cluster"],
) -> None:
    """build the table of each point, and its peers if it has some; a failure leaves the others"""
    import logging
    import subprocess
    import sys
    import time

    import yaml

    from semgap.errors import MeasurementError
    from semgap.pipeline.config import read_values
    from semgap.pipeline.sweep import points_of

    folder.mkdir(parents=True, exist_ok=True)
    points = points_of(read_values(*configfile))
    more = () if profile is None else ("--workflow-profile", str(profile))

    def begun(number: int, experiment: str, directory: Path) -> subprocess.Popen[bytes]:
        logging.getLogger("semgap").warning("%s, %d of %d", experiment, number, len(points))
        file = folder / f"{experiment}.yaml"
        file.write_text(yaml.safe_dump(points[experiment]), encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "--cores", cores, "--quiet", "all", *more]
        where = ("--snakefile", PROJECT / "Snakefile", "--directory", directory)
        reports = ["table.md", *(["peers.md"] if points[experiment].get("systems") else [])]
        targets = [f"results/{experiment}/{report}" for report in reports]
        return subprocess.Popen([*command, *where, "--configfile", file.resolve(), "--", *targets])

    first, *others = enumerate(points, start=1)
    # It makes what all have in common.
    failed = [first[1]] if begun(*first, Path.cwd()).wait() else []
    running: dict[str, subprocess.Popen[bytes]] = {}
    while others or running:
        while others and len(running) < (at_once or 1):
            number, name = others.pop(0)
            place = Path.cwd() if at_once is None else _place(folder / name)
            running[name] = begun(number, name, place)
        time.sleep(_LOOK_S)
        for name in [one for one, process in running.items() if process.poll() is not None]:
            if running.pop(name).returncode:
                failed.append(name)
    if failed:
        raise MeasurementError(
            f"{len(failed)} of {len(points)} points failed: {', '.join(failed)}.",
            "See above why; the same command goes on with what is missing.",
        )


def _place(folder: Path) -> Path:
    """A folder for a workflow beside others: its lock is its own, all else is the project's."""
    notes = PROJECT / ".snakemake"
    for name in _SHARED_NOTES:
        (notes / name).mkdir(parents=True, exist_ok=True)
    (folder / notes.name).mkdir(parents=True, exist_ok=True)
    links = {folder / file.name: file for file in PROJECT.iterdir() if file != notes}
    links |= {folder / notes.name / name: notes / name for name in _SHARED_NOTES}
    for link, file in links.items():
        if not link.is_symlink():
            link.symlink_to(file)
    return folder


def report(
    configfile: Annotated[list[Path], CONFIGFILE],
    shapes: Annotated[Path, "models that the law is asked about"],
) -> None:
    """write what the finished points show: scaling.md, its figure, a page to play with"""
    from semgap.analysis.publish import read_experiment
    from semgap.analysis.scaling.publish import write_scaling
    from semgap.errors import MeasurementError
    from semgap.pipeline.config import read_values
    from semgap.pipeline.sweep import points_of

    values = read_values(*configfile)
    folders = [Path("results", experiment) for experiment in points_of(values)]
    finished = [folder for folder in folders if (folder / "table.md").exists()]
    if not finished:
        raise MeasurementError("No point of the sweep is measured.", "Run 'make sweep' first.")
    folder = Path("results", values["experiment"])
    write_scaling(values["experiment"], map(read_experiment, finished), shapes, folder)
    print(f"{len(finished)} of {len(folders)} points: {folder}/scaling.md, {folder}/explorer.html")


def points(configfile: Annotated[list[Path], CONFIGFILE]) -> None:
    """name the points' folders of results"""
    from semgap.pipeline.config import read_values
    from semgap.pipeline.sweep import points_of

    print(*(f"results/{experiment}" for experiment in points_of(read_values(*configfile))))


if __name__ == "__main__":
    run_script(measure, report, points)
