"""Wrong evaluations are caught, each by the check that is named for it.

A sample that changes with the date; ``make mutants`` runs all and writes docs/planted-errors.md.
"""

import csv
import datetime
import json
import os
import random
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import changes
import pytest
from rederivation import differences

from judges import needs
from patience import PATIENCE_S
from planted import FAMILIES, PLANTED, Planted, planted_in
from small_models import PROJECT

DRIVER = Path(__file__).with_name("small_experiment.py")
REPORT = PROJECT / "docs" / "planted-errors.md"
ALL = os.environ.get("PLANTED") == "all"
TODAY = random.Random(str(datetime.date.today()))
SAMPLE = PLANTED if ALL else TODAY.sample(PLANTED, 3)
UNPLUGGED = [planted for planted in PLANTED if planted.unplugged]
SAMPLE_OF_UNPLUGGED = UNPLUGGED if ALL else TODAY.sample(UNPLUGGED, 1)
CONTROLS = 3
# What a warning of a wait says; others are of the machine.
OF_A_WAIT = re.compile(r"are expected")

pytestmark = needs("tcpdump")


@dataclass(frozen=True)
class Outcome:
    """What became of an experiment: who caught it, what was said; a line for each warning."""

    caught_by: str
    message: str


def run(tree, folder, *modes):
    """Measure the modes again, check, publish, and look at what is published."""
    done = subprocess.run(
        [sys.executable, DRIVER, tree, folder, *modes],
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    refused = json.loads(done.stdout.splitlines()[-1])
    if refused["refused_by"]:
        return Outcome(refused["refused_by"], refused["message"])
    derived = differences(folder, PROJECT / "config" / "claims.yaml")
    if derived:
        return Outcome("rederivation", derived[0])
    if failed := failed_claims(folder):
        return Outcome("check_claims", f"The data contradict {', '.join(failed)}.")
    waits = [
        line.removeprefix("- **Warning**: ")
        for line in (folder / "notes.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("- **Warning**") and OF_A_WAIT.search(line)
    ]
    return Outcome("warning", "\n".join(waits)) if waits else Outcome("nothing", "")


def failed_claims(folder):
    """Those of computing; a model this small is too fast for those of latency."""
    with (folder / "claims.csv").open(newline="", encoding="utf-8") as file:
        return [
            f"{row['claim']}, {row['phase']}: {row['what']} is {row['seen']}"
            for row in csv.DictReader(file)
            if row["verdict"] == "FAIL" and row["claim"] == "C14"
        ]


@pytest.fixture(scope="session")
def honest(tmp_path_factory):
    """An experiment that was measured by the code as it is."""
    outcome, folder = undisturbed(lambda folder: run(PROJECT, folder), tmp_path_factory.mktemp("h"))
    published(outcome)
    return folder


def undisturbed(measure, folder, expected="nothing"):
    """The outcome of a measurement, and its folder.

    Beside other suites a mode can truly have less of the processor than another for a moment, so
    where C14 decides otherwise than it should, it is measured again.
    """
    for attempt in range(CONTROLS):
        place = folder / str(attempt)
        place.mkdir()
        outcome = measure(place)
        if outcome.caught_by == expected or "check_claims" not in (outcome.caught_by, expected):
            break
    return outcome, place


def published(outcome):
    """Nobody refused it; beside other suites a wait may be warned of, in ``make honest`` none."""
    assert outcome.caught_by in ("nothing", "warning"), outcome.message


@pytest.fixture(scope="session")
def caught():
    """What caught each; written to a page if all were planted."""
    found: dict[str, Outcome] = {}
    yield found
    if ALL and len(found) == len(PLANTED):
        REPORT.write_text(report(found), encoding="utf-8")


def plant(planted, edits, honest, folder):
    """Run an honest experiment with an error in it."""
    experiment = folder / "experiment"
    shutil.copytree(honest, experiment)
    if planted.change is not None:
        getattr(changes, planted.change)(experiment)
    tree = mutated(edits, folder / "tree") if edits else PROJECT
    return run(tree, experiment, *planted.measured)


def mutated(edits, folder):
    """A copy of what runs, with the edits made."""
    shutil.copytree(
        PROJECT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("config", "envs"):
        shutil.copytree(PROJECT / name, folder / name)
    for edit in edits:
        file = folder / edit.file
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
    return folder


@pytest.mark.parametrize("planted", SAMPLE, ids=lambda planted: planted.name)
def test_a_planted_error_is_caught_by_the_check_that_is_named_for_it(
    planted: Planted, honest, caught, tmp_path
):
    outcome, folder = undisturbed(
        lambda folder: plant(planted, planted.edits, honest, folder), tmp_path, planted.caught_by
    )
    assert outcome.caught_by == planted.caught_by, outcome.message
    said = [line for line in outcome.message.splitlines() if planted.said in line]
    assert said, outcome.message
    caught[planted.name] = Outcome(outcome.caught_by, said[0].replace(f"{folder}/", ""))


@pytest.mark.parametrize("planted", SAMPLE_OF_UNPLUGGED, ids=lambda planted: planted.name)
def test_no_check_can_be_unplugged_unnoticed(planted, honest, tmp_path):
    """What the test above sees refused is published where the check is not called."""
    edits = (*planted.edits, planted.unplugged)
    outcome, _ = undisturbed(lambda folder: plant(planted, edits, honest, folder), tmp_path)
    published(outcome)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_each_edit_is_of_the_code_as_it_is(planted):
    for edit in (*planted.edits, *filter(None, [planted.unplugged])):
        text = (PROJECT / edit.file).read_text(encoding="utf-8")
        assert text.count(edit.old) == 1, f"{edit.file} has another line now than {edit.old!r}"


def test_enough_is_planted():
    assert len(PLANTED) >= 40
    assert len({planted.name for planted in PLANTED}) == len(PLANTED)


def report(found: dict[str, Outcome]) -> str:
    parts = [
        f"""\
# Planted errors

A check is worth what it has been seen to catch. Here are {len(PLANTED)} wrong evaluations, each
made on purpose by a small change to the code or to the files (`tests/planted/`), run to
their end on a model of two layers over `tcp`, with the check that caught each and what it said. The
same experiment without a change is published. `make mutants` plants all and writes this page; the
test suite plants a few, others every day.

`rederivation` is a test with code of its own that derives each cell of `table.md` and `table.csv`
and each claim from `runs/` and `traffic/`. A *warning* stands under the table; everything else
leaves no table. `check_claims` is `make verify`.
"""
    ]
    for family, heading in FAMILIES.items():
        rows = [
            f"| {one.name} | {one.would} | `{found[one.name].caught_by}` | "
            f"{shown(found[one.name].message)} |"
            for one in planted_in(family)
        ]
        parts.append(
            "\n".join(
                [
                    f"## {heading}\n",
                    "| planted | would have been published | caught by | what it said |",
                    "|---|---|---|---|",
                    *rows,
                ]
            )
            + "\n"
        )
    return "\n".join(parts)


def shown(message: str) -> str:
    """The cause, without the remedy and without what differs from run to run."""
    cause = re.split(r"(?<=[\w)])\. (?=[A-Z])", message)[0].rstrip(".")
    return re.sub(r"\d+\.\d+|\d{4,}", "…", cause).replace("|", "\\|")
