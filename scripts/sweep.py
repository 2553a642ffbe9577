#!/usr/bin/env python3
"""Measure experiments that differ in some keys, each with cached runs of its own."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script

CONFIGFILE = "the configuration with its key sweep, in one file or several"


def measure(
    configfile: Annotated[list[Path], CONFIGFILE],
    folder: Annotated[Path, "writes a configuration for each point here"],
    cores: Annotated[str, "for Snakemake"],
) -> None:
    """build each point's table; one that fails leaves the others"""
    import logging
    import subprocess
    import sys

    import yaml

    from semgap.errors import MeasurementError
    from semgap.pipeline.config import read_values
    from semgap.pipeline.sweep import points_of

    failed = []
    folder.mkdir(parents=True, exist_ok=True)
    points = points_of(read_values(*configfile))
    for number, (experiment, values) in enumerate(points.items(), start=1):
        logging.getLogger("semgap").warning("%s, %d of %d", experiment, number, len(points))
        file = folder / f"{experiment}.yaml"
        file.write_text(yaml.safe_dump(values), encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "--cores", cores, "--quiet", "all"]
        target = f"results/{experiment}/table.md"
        if subprocess.run([*command, "--configfile", str(file), "--", target]).returncode:
            failed.append(experiment)
    if failed:
        raise MeasurementError(
            f"{len(failed)} of {len(points)} points failed: {', '.join(failed)}.",
            "See above why; the same command goes on with what is missing.",
        )


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
