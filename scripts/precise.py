#!/usr/bin/env python3
"""Build the table again and again, with more repeats, until latencies are known well enough."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script


def precise(
    configfile: Annotated[list[Path], "the configuration, in one file or several"],
    overlay: Annotated[Path, "writes the number of repeats here, as a further configuration"],
    within_percent: Annotated[float, "how far the interval of a ratio may reach"],
    at_most: Annotated[int, "repeats per mode"],
    cores: Annotated[str, "for Snakemake"],
) -> None:
    import yaml

    from semgap.analysis.numbers.comparison import ComparisonRow, wanted_repeats
    from semgap.measurement.job_settings import StoppingRule
    from semgap.pipeline.config import read_config
    from semgap.plumbing.files import read_rows

    config = read_config(*configfile)
    repeats = {mode: config.workload.repeats_of(mode) for mode in config.modes}
    rule = StoppingRule(within_percent, at_most)
    stated = {"within_percent": within_percent, "at_most": at_most}
    while True:
        workload = {"repeats": repeats, "stopping": stated}
        overlay.parent.mkdir(parents=True, exist_ok=True)
        overlay.write_text(yaml.safe_dump({"workload": workload}), encoding="utf-8")
        base = [str(file) for file in configfile if file != overlay]
        files = ["--configfile", *base, str(overlay)]
        command = [sys.executable, "-m", "snakemake", "--cores", cores, *files, "--", "all"]
        if status := subprocess.run(command, check=False).returncode:
            sys.exit(status)
        compared = read_rows(Path(f"results/{config.experiment}/comparisons.csv"), ComparisonRow)
        wanted = wanted_repeats(compared, repeats, rule)
        if wanted == repeats:
            break
        repeats = wanted


if __name__ == "__main__":
    run_script(precise)
