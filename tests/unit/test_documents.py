"""A figure in README or docs is generated from a record, or known to be no measurement."""

import csv
import re
from collections import Counter

import pytest

from recorded import unpacked
from semgap.analysis.expectation import Asked
from semgap.maintain.archive import REFERENCE
from semgap.maintain.readme_parts import COMMANDS
from semgap.pipeline.config import read_config
from semgap.plumbing.files import read_record
from small_models import PROJECT

# models.md is written by `make models`.
DOCUMENTS = sorted(
    str(file.relative_to(PROJECT))
    for file in (PROJECT / "README.md", *(PROJECT / "docs").glob("*.md"))
    if file.name != "models.md"
)
# A number and a unit of what is measured.
FIGURE = re.compile(r"\d[\d.,]*(?: to \d[\d.,]*)? ?(?:ms|µs|s|[KMGT]B(?:/s)?|%|×)(?![\w/])")
# Thresholds, settings, sizes of files that no record has, and what was seen by hand and says so.
NO_MEASUREMENT = {
    "README.md": {"1 GB", "3 GB", "16 GB", "30 GB"},
    "docs/artifact.md": {"3 GB", "16 GB", "30 GB", "20 GB", "45 GB", "2 MB", "10 %"},
    "docs/claims.md": {"95 %", "5 %"},
    # What is aimed at.
    "docs/engines.md": {"0.1 ms"},
    "docs/gpu-host.md": {"50 MB"},
    "docs/links.md": {"64 KB"},
    "docs/measurement.md": {"8 MB", "64 MB", "1 MB", "1 KB", "10 %", "50 µs", "1 %"},
    # What was planted.
    # Sizes of the store and of its chunks, and a link.
    "docs/modes.md": {"24 GB", "64 kB", "1 ms"},
    "docs/planted-errors.md": {"20 ms", "10 ms", "1 MB", "7 %"},
    "docs/terms.md": {"64 KB", "0.1 s", "1 s", "5 s", "95 %"},
    "docs/transports.md": {
        *("95 %", "5 %", "1 KB", "64 MB", "8 MB", "1 ms", "0.1 ms", "256 MB"),
        # By hand, as the document says.
        *("0.50 to 0.39 ms", "13.6 to 13.7 ms", "1.3 GB/s"),
    },
}


def prose(document):
    """A document without what is generated and without code."""
    text = (PROJECT / document).read_text(encoding="utf-8")
    text = re.sub(r"<!-- [^>]*make reference-tables -->.*?<!-- end -->", "", text, flags=re.DOTALL)
    text = re.sub(r"```.*?```|^    .*?$|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)
    return " ".join(text.split())


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_figure_is_generated_or_no_measurement(document):
    unknown = set(FIGURE.findall(prose(document))) - NO_MEASUREMENT.get(document, set())
    assert not unknown, "generate these from a record, or say above why none has them"


def test_a_figure_that_nobody_vouches_for_is_seen():
    for said, seen in (
        ("a step takes 7.04 ms", "7.04 ms"),
        ("it moved 61.11 GB in all", "61.11 GB"),
        ("goodput of 2.7 GB/s", "2.7 GB/s"),
        ("3 to 4 % more", "3 to 4 %"),
        ("round trip 11 × that", "11 ×"),
    ):
        assert FIGURE.findall(said) == [seen]
    assert not FIGURE.findall("5 decode steps, 128 tokens, 3 repeats, 3 small")


def test_the_readme_is_read_in_minutes():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    assert len(prose("README.md").split()) <= 1000


def numbers_in(name, quantity):
    with (unpacked(name) / "summary.csv").open(newline="") as file:
        return {
            (row["phase"], row["mode"]): int(row["mean"])
            for row in csv.DictReader(file)
            if row["quantity"] == quantity
        }


def test_a_shaped_links_bytes_are_those_of_the_loopback_interface():
    over_loopback = numbers_in("mini-tcp", "network_bytes")
    for name in ("mini-tcp-1gbit", "mini-tcp-1gbit-10ms"):
        assert numbers_in(name, "network_bytes") == over_loopback


def test_each_recorded_experiment_names_what_makes_it():
    assert {*COMMANDS, *(f"line-rate-{name}" for name in ("2-cores", "h200"))} == {
        file.name for file in REFERENCE.iterdir() if file.is_dir()
    }


@pytest.mark.parametrize(
    ("name", "command"), [one for one in COMMANDS.items() if one[1].startswith("make table")]
)
def test_a_recorded_experiments_command_asks_for_what_was_recorded(name, command):
    files = re.findall(r"config/\S+", command) or ["config/default.yaml"]
    config = read_config(*(PROJECT / file for file in files))
    asked = read_record(REFERENCE / name / "expectation.json", Asked).expectation
    repeats = {mode: config.workload.repeats_of(mode) for mode in config.modes}
    assert repeats == Counter(run.mode for run in asked.runs)
    for run in asked.runs:
        assert run.settings.workload == config.workload.of_a_job()
        assert run.settings.worker == config.worker
        assert run.transport in (config.server.transport, "in_process")
    assert (config.model.architecture, config.model.dtype, config.model.seed) == (
        asked.model.architecture,
        asked.model.dtype,
        asked.model.seed,
    )
