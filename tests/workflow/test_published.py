"""What stands as published passed every check, now, for this configuration; or nothing stands."""

import hashlib
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml

from expected_jobs import ANALYSIS, MODES, edited, measured, runs

FORMS = ("md", "csv", "tex")


@pytest.fixture
def experiment(finished, tmp_path):
    """A finished experiment that may be damaged."""
    return finished.copy_to(tmp_path)


def published(experiment):
    folders = (experiment.folder / "results", experiment.results)
    return [
        path for folder in folders for form in FORMS if (path := folder / f"table.{form}").exists()
    ]


def fails(experiment, message):
    """A call fails with a message, which is returned; no table stands after it."""
    done = experiment.snakemake()
    assert done.returncode != 0, done.stdout
    assert message in done.stdout
    assert published(experiment) == []
    return next(line for line in done.stdout.splitlines() if message in line)


def delete_named_folder(experiment, message):
    """Do what a message says."""
    (folder,) = re.findall(r"Delete (?:the folder )?'([^']+)' and run again", message)
    shutil.rmtree(experiment.folder / folder)


def test_a_logit_that_was_edited_is_named_until_it_is_measured_again(experiment):
    logits = experiment.results / "runs" / "semantic" / "rep1.logits.npy"
    wrong = np.load(logits)
    wrong[1, 0] += 1
    np.save(logits, wrong)
    name = logits.relative_to(experiment.folder)
    reports = [folder / "report.html" for folder in (experiment.results, experiment.results.parent)]
    for report in reports:
        report.write_text("what was found before")
    for _ in range(2):
        fails(experiment, f"'{name}' is not the file that was written with")
    assert not any(report.exists() for report in reports)
    # What the message says is enough.
    logits.unlink()
    assert experiment.planned() == measured("semantic", repeats=[1])


def test_a_mode_that_computed_something_else_is_named(experiment):
    """Its record fits its logits, so that the comparison with local alone can tell."""
    record_file = experiment.results / "runs" / "semantic" / "rep1.json"
    logits = record_file.with_suffix(".logits.npy")
    wrong = np.load(logits)
    wrong[1, 0] += 1
    np.save(logits, wrong)
    record = json.loads(record_file.read_text())
    record["logits_sha256"] = hashlib.sha256(logits.read_bytes()).hexdigest()
    record_file.write_text(json.dumps(record))
    fails(experiment, "semantic, repeat 1, step 1: a logit differs by 1 from local")


def test_a_capture_that_was_cut_off_is_named_until_it_is_measured_again(experiment):
    capture = experiment.results / "captures" / "semantic" / "rep1.pcap"
    capture.write_bytes(capture.read_bytes()[:-50])
    fails(experiment, f"Delete '{capture.relative_to(experiment.folder)}' and run again")
    capture.unlink()
    assert experiment.planned() == measured("semantic", repeats=[1])


def test_a_repeat_that_is_a_copy_is_named(experiment):
    for folder, form in (("runs", "json"), ("runs", "logits.npy"), ("captures", "pcap")):
        files = experiment.results / folder / "naive"
        shutil.copyfile(files / f"rep1.{form}", files / f"rep2.{form}")
    fails(experiment, "naive/rep2.json' was measured with repeat 1")


def test_weights_that_changed_are_named(experiment):
    (weights,) = (experiment.folder / "results" / "models").glob("*/weights/*.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    (experiment.results / "runs" / "local" / "rep2.json").unlink()
    said = fails(experiment, "is not the one that the manifest describes")
    delete_named_folder(experiment, said)
    assert {
        "store_weights",
        "describe_model",
        *runs("benchmark", *MODES, repeats=[1, 2]),
    } <= experiment.planned()


def test_without_the_engines_notes_only_the_analysis_is_repeated(experiment):
    before = (experiment.folder / "results" / "table.md").read_text()
    shutil.rmtree(experiment.folder / ".snakemake")
    assert experiment.planned() <= ANALYSIS
    experiment.build()
    assert (experiment.folder / "results" / "table.md").read_text() == before


@pytest.mark.parametrize(
    ("workload", "message"),
    [
        ({"prompt_seed": 1}, "The prompt has the seed 0; the configuration says 1"),
        ({"decode_steps": 2}, "measured with workload.decode_steps 3; this configuration says 2"),
    ],
    ids=["prompt", "steps"],
)
def test_without_the_engines_notes_no_other_configuration_is_published(
    experiment, workload, message
):
    shutil.rmtree(experiment.folder / ".snakemake")
    experiment.configure(workload=workload)
    delete_named_folder(experiment, fails(experiment, message))
    assert runs("benchmark", *MODES, repeats=[1, 2]) <= experiment.planned()


def test_without_the_engines_notes_another_experiments_table_does_not_stand(experiment):
    table = experiment.folder / "results" / "table.md"
    own = table.read_text()
    shutil.rmtree(experiment.folder / ".snakemake")
    table.write_text("Another experiment's table.")
    experiment.build()
    assert table.read_text() == own


def test_a_dry_run_with_another_configuration_invalidates_nothing(finished):
    with edited(finished.config_file, finished.config_file.read_text()):
        finished.configure(labels={"naive": "Blind"})
        assert finished.planned() == ANALYSIS
    assert finished.planned() == set()


def test_labels_of_all_kinds_are_published(experiment):
    experiment.configure(labels={"naive": "{a} | b & c", "semantic": {"text": "s", "latex": r"\s"}})
    experiment.build()
    assert r"{a} \| b &amp; c" in (experiment.folder / "results" / "table.md").read_text()
    assert r"Decode & \s &" in (experiment.folder / "results" / "table.tex").read_text()


@pytest.mark.thorough
def test_repeats_are_added_until_ratios_are_known_or_no_more_are_allowed(experiment):
    experiment.configure(modes=["local", "semantic"])
    runs_of = experiment.results / "runs" / "semantic"
    before = (runs_of / "rep1.json").read_bytes()
    command = [
        *(sys.executable, "scripts/precise.py", "--configfile", "config/default.yaml"),
        *("--overlay", "build/precise.yaml", "--within-percent", "0.0001", "--at-most", "3"),
        *("--cores", "1"),
    ]
    done = subprocess.run(command, cwd=experiment.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    repeats = {file.name for file in runs_of.glob("*.json")}
    assert repeats == {"rep1.json", "rep2.json", "rep3.json"}
    assert (runs_of / "rep1.json").read_bytes() == before
    table = (experiment.folder / "results" / "table.md").read_text()
    assert "n = 3 repeats per mode" in table
    assert "within ± 0.0001 %, at most 3 per mode; not reached: prefill of semantic" in table


def test_a_contradicted_claim_is_named_and_the_table_stands(experiment):
    def verified(claims):
        (experiment.folder / "config" / "claims.yaml").write_text(
            yaml.safe_dump({"claims": claims})
        )
        done = experiment.snakemake(targets=("verify",))
        return done.returncode, " ".join(done.stdout.split())

    bounds = yaml.safe_load((experiment.folder / "config" / "claims.yaml").read_text())["claims"]
    # Those that hold for a model of any size.
    kept = [claim for claim in bounds if claim["id"] in ("C1", "C4", "C5", "C13")]
    status, said = verified(kept)
    assert status == 0, said
    assert "C4 PASS remote_cache's decode steps grow" in said
    assert "VERIFIED. Claims: 4 PASS, 0 FAIL. Bytes: nothing recorded to compare with." in said
    kept[0]["at_least"], kept[0]["at_most"] = 1, 2
    status, said = verified(kept)
    assert status != 0
    assert "The data contradict C1 (local moves no bytes), prefill: bytes of local is 0" in said
    assert "accepted is at least 1, at most 2" in said
    assert "1 FAIL" in (experiment.folder / "results" / "table.md").read_text()
