"""docs/extend.md does what it says, executed as it stands there."""

import csv
import json
import subprocess
import sys

import numpy as np

from experiment import DECODE_STEPS
from plans import dry_run


def test_a_mode_and_a_placement_are_added_as_the_documentation_says(extended):
    table = (extended.folder / "results" / "table.md").read_text()
    assert table.count("| Semantic-Blind, Deltas ") == 2
    local, half = (
        np.load(extended.results / "runs" / mode / "rep1.logits.npy") for mode in ("local", "half")
    )
    assert half.shape == (1 + DECODE_STEPS, 500)
    assert 0 < np.abs(local - half).max() < 1e-3


def test_a_transport_an_engine_and_a_model_are_added_as_the_documentation_says(extended_further):
    """Every mode answers as local: the gate let it pass."""
    results = extended_further.folder / "results"
    table = (results / "table.md").read_text()
    assert "`my-model`: My model" in table
    assert "Transport: pickled" in table
    record = json.loads((results / "my-model" / "runs" / "delta" / "rep1.json").read_text())
    assert record["settings"]["worker"]["engine"] == "chunked"
    (first, *_others) = next(
        phase["steps"] for phase in record["phases"] if phase["name"] == "decode"
    )
    position_bytes = 2 * 2 * 2 * 16 * 4  # layers, keys and values, heads, head size, float32
    assert first["down_bytes"]["kv_cache"] == position_bytes


def test_a_meter_reaches_every_table_by_its_name(extended_further):
    folder = extended_further.folder / "results" / "my-model"
    with (folder / "summary.csv").open() as file:
        found = {
            (row["phase"], row["mode"]): row
            for row in csv.DictReader(file)
            if row["quantity"] == "worker_page_faults"
        }
    assert len(found) == 3 * 3  # phases and modes
    assert float(found["setup", "delta"]["mean"]) > 0
    assert found["setup", "delta"]["source"] == "page_faults"
    assert "mean_worker_page_faults" in (folder / "table.csv").read_text().splitlines()[0]


def test_the_link_benchmark_measures_a_new_transport(extended_further):
    code = (extended_further.folder / "scripts/semgap/transport/pickled.py").read_text()
    link = "results/tiny/link/times.csv"
    before = dry_run(extended_further.folder, "--", link).fingerprints
    (extended_further.folder / "scripts/semgap/transport/pickled_too.py").write_text(code)
    assert dry_run(extended_further.folder, "--", link).fingerprints != before


def test_a_key_is_validated_has_a_default_is_documented_and_reaches_the_job(extended_further):
    record = json.loads(
        (extended_further.folder / "results/my-model/runs/local/rep1.json").read_text()
    )
    assert record["settings"]["worker"]["nickname"] == "pad"
    refused = extended_further.snakemake("-n", "--config", "worker={nickname: far too long}")
    assert "'worker.nickname' is 'far too long'" in refused.stdout
    page = extended_further.folder / "page.md"
    written = ["--output", page, "--schema", "schema.json", "--protocol", "protocol.json"]
    command = [sys.executable, "scripts/document_config.py", *written]
    subprocess.run(command, cwd=extended_further.folder, check=True)
    (line,) = (line for line in page.read_text().splitlines() if "`worker.nickname`" in line)
    assert '`"nameless"`' in line
    assert "What the worker is called in the records." in line


def test_a_report_is_published_by_its_line_in_the_catalogue(extended_further):
    said = (extended_further.folder / "results" / "my-model" / "slowest.md").read_text()
    assert said.startswith(("# Slowest\n\nprefill of ", "# Slowest\n\ndecode of "))
    files = ("config/default.yaml", "config/my-model.yaml")
    done = extended_further.snakemake("--configfile", *files, targets=("report",))
    assert done.returncode == 0, done.stdout
    assert "slowest.md" in (extended_further.folder / "results" / "report.html").read_text()
