#!/usr/bin/env python3
"""Say what this machine can do before anything costs time, and what to do about what it cannot.

Ends with 1 if the experiment of --config would fail here.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from semgap.doctor import Finding, Level, lines
from semgap.doctor.packages import check_packages, check_python
from semgap.errors import ConfigError

PROJECT = Path(__file__).parents[1]


def examine(config_files: Sequence[Path], lock: Path) -> Iterator[Finding]:
    """What the experiment of a configuration needs, the cheap things first."""
    packages = [check_python(), *check_packages(PROJECT / "envs" / "direct.in", lock)]
    yield from packages
    if any(one.level is Level.PROBLEM for one in packages):
        return
    # Packages are there from here on.
    from semgap.doctor.check import check_experiment

    yield from check_experiment(config_files, PROJECT / "results" / "reference")


def is_measured(config_files: Sequence[Path], results: Path) -> bool:
    """Whether all runs of an experiment are there: nothing of this machine is in their way."""
    try:
        from semgap.pipeline.config import read_config

        config = read_config(*config_files)
    except (ImportError, ConfigError):
        # What else is examined says so.
        return False
    wanted = {f"runs/{mode}": config.workload.repeats_of(mode) for mode in config.modes}
    wanted |= {f"systems/{name}": wanted["runs/local"] for name in config.systems}
    return all(
        (results / config.experiment / folder / f"rep{repeat}.json").exists()
        for folder, repeats in wanted.items()
        for repeat in range(1, repeats + 1)
    )


def main() -> None:
    """Print all findings, or those that matter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--config", type=Path, nargs="+", required=True, help="the experiment to examine for"
    )
    parser.add_argument("--lock", type=Path, required=True, help="pinned versions")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="further experiments")
    parser.add_argument(
        "--problems",
        action="store_true",
        help="say only what would fail, and what would measure in another way; nothing once all "
        "is measured",
    )
    flags = parser.parse_args()
    if flags.problems and is_measured(flags.config, PROJECT / "results"):
        return
    findings = list(examine(flags.config, flags.lock))
    shown = [one for one in findings if not flags.problems or _changes_results(one)]
    for line in lines(shown):
        print(line)
    failed = {one.subject for one in findings if one.level is Level.PROBLEM}
    if not flags.problems and not failed & {"Python", "packages", "configuration"}:
        from semgap.doctor.check import overview

        print(overview([flags.config[0], *flags.others], PROJECT / "results" / "reference"))
    sys.exit(bool(failed))


def _changes_results(finding: Finding) -> bool:
    """Whether something fails, or bytes are counted in another way."""
    if finding.subject == "capture":
        return finding.level is not Level.OK
    return finding.level is Level.PROBLEM


if __name__ == "__main__":
    main()
