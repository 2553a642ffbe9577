"""Runs that are not what their files claim, or contradict themselves, are named and refused."""

import dataclasses
import shutil

import msgspec
import pytest

import sample_table
from sample_runs import PROMPT, SECOND_NS, phase, run, settings
from sample_table import LABELS, MANIFEST
from semgap.analysis.evidence import Evidence, Run
from semgap.analysis.expectation import ExpectedRun
from semgap.analysis.gates.belonging import check_belonging, check_files
from semgap.analysis.gates.consistency import check_consistency
from semgap.analysis.numbers.traffic import TrafficRow
from semgap.errors import MeasurementError
from semgap.model.prompt import Prompt
from semgap.modes import policy_of
from semgap.plumbing.files import digest_of, write_record

MODES = ("local", "semantic")
REPEATS = (1, 2)
replace = msgspec.structs.replace


def traffic_of(record):
    crossing = 0 if record.mode == "local" else 1
    return [
        TrafficRow(one.name, direction, "tcpdump", size * crossing * len(one.steps), 0, 0, 1)
        for one in record.phases
        for direction, size in (("up", 100), ("down", 50))
    ]


def expectation(**changed):
    expected = tuple(
        ExpectedRun(mode, settings(repeat), policy_of(mode), run(mode).transport)
        for mode in MODES
        for repeat in REPEATS
    )
    labels = {mode: LABELS[mode] for mode in MODES}
    return sample_table.expectation(labels, **{"runs": expected, **changed})


@pytest.fixture
def runs(tmp_path):
    """Two repeats of two modes, with their files, as jobs leave them."""
    return [written(tmp_path, run(mode, repeat)) for mode in MODES for repeat in REPEATS]


def written(folder, record):
    file = folder / f"{record.mode}.rep{record.repeat}.json"
    for written_with in files_of(file):
        written_with.write_text(f"{written_with.name}, measured")
    logits, capture = map(digest_of, files_of(file))
    record = replace(record, logits_sha256=logits, capture_sha256=capture)
    write_record(file, record)
    return Run(record, file, traffic_of(record))


def files_of(record_file):
    """Its logits and its capture."""
    return record_file.with_suffix(".npy"), record_file.with_suffix(".pcap")


def belong(runs, manifest=MANIFEST, prompt=PROMPT, expected=None, **changed):
    changed |= {"runs": expected} if expected else {}
    evidence = Evidence(expectation(**changed), manifest, runs)
    check_belonging(evidence)
    check_files(evidence, prompt, *zip(*(files_of(run.record_file) for run in runs), strict=True))


def refused(runs, match, **which):
    with pytest.raises(MeasurementError, match=match):
        belong(runs, **which)


def test_honest_runs_pass(runs):
    belong(runs)
    check_consistency(runs)


def test_refused_a_repeat_that_is_a_copy_of_another(runs):
    first, second = runs[:2]
    for one, other in zip(files_of(first.record_file), files_of(second.record_file), strict=True):
        shutil.copy(one, other)
    copied = dataclasses.replace(second, record=first.record)
    refused(
        [first, copied, *runs[2:]], r"rep2.json' was measured with repeat 1; .* says 2\. Delete"
    )


def test_refused_a_session_that_stands_twice(runs):
    again = replace(runs[1].record, session_id=runs[0].record.session_id)
    refused([runs[0], dataclasses.replace(runs[1], record=again), *runs[2:]], "are of one session")


def test_refused_a_mode_under_another_name(runs):
    other = dataclasses.replace(runs[2], record=runs[0].record)
    refused([*runs[:2], other, runs[3]], r"semantic.rep1.json' was measured with mode local")


@pytest.mark.parametrize("which", [0, 1], ids=["logits", "capture"])
def test_refused_a_file_that_was_changed_after_the_measurement(runs, which):
    file = files_of(runs[0].record_file)[which]
    file.write_text("changed")
    refused(runs, rf"'{file}' is not the file that was written with .*Delete '{file}'")


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"prompt_seed": 1}, "The prompt has the seed 0; the configuration says 1"),
        ({"prompt_text": "A text"}, "The prompt has the text None; .* says 'A text'"),
        ({"prompt_tokens": 9}, "measured with number of tokens 8; this configuration says 9"),
        ({"weights_id": "other-1"}, "folder of weights 'gpt-j-test-0'.* says 'other-1'"),
    ],
)
def test_refused_a_model_or_prompt_of_another_configuration(runs, changed, match):
    refused(runs, match, **changed)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("workload", "decode_steps", 4),
        ("workload", "rehearsals_at_most", 1),
        ("capture", "use", "off"),
        ("worker", "device", "cuda"),
    ],
)
def test_refused_a_run_of_another_configuration(runs, section, name, value):
    def other(settings):
        return replace(settings, **{section: replace(getattr(settings, section), **{name: value})})

    wanted = tuple(replace(one, settings=other(one.settings)) for one in expectation().runs)
    match = (
        f"rep1.json' was measured with {section}.{name} .*; this configuration says "
        rf"{value}\. 3 more records do not fit it\. Delete the folder"
    )
    with pytest.raises(MeasurementError, match=match):
        belong(runs, expected=wanted)


def test_a_run_with_another_prompt_is_named(runs):
    refused(runs, "measured with another prompt", prompt=Prompt(tuple(range(1, 9)), 0))


def test_how_many_tokens_a_text_has_is_not_asked(runs):
    text = Prompt(PROMPT.token_ids, None, "A text")
    belong(runs, prompt=text, prompt_tokens=None, prompt_seed=None, prompt_text="A text")


def test_a_run_with_other_weights_is_named(runs):
    refused(runs, "measured with model f", manifest=replace(MANIFEST, fingerprint="g"))


def contradicting(runs, match, **changed_decode):
    """Change the decode phase of the last run; it must be refused."""
    record = runs[-1].record
    *before, decode = record.phases
    changed = replace(record, phases=(*before, replace(decode, **changed_decode)))
    with pytest.raises(MeasurementError, match=match):
        check_consistency([*runs[:-1], dataclasses.replace(runs[-1], record=changed)])


def test_a_latency_below_its_steps_is_refused(runs):
    decode = runs[-1].record.phases[-1]
    contradicting(runs, "the phase decode has a latency of", latency_s=decode.latency_s / 100)


def test_a_latency_beyond_its_window_is_refused(runs):
    contradicting(runs, "in a window of", latency_s=10.0)


def test_a_phase_that_overlaps_the_one_before_is_refused(runs):
    begin_ns = 14 * SECOND_NS
    overlapping = phase("decode", 14, steps=2)
    contradicting(
        runs,
        "the phase decode begins before prefill has ended",
        begin_unix_ns=begin_ns,
        end_unix_ns=overlapping.end_unix_ns,
    )


def test_a_clock_that_was_set_during_a_phase_is_refused(runs):
    decode = runs[-1].record.phases[-1]
    contradicting(
        runs, "the clock was set meanwhile", end_unix_ns=decode.end_unix_ns + SECOND_NS // 10
    )


def test_a_step_that_is_missing_is_refused(runs):
    decode = runs[-1].record.phases[-1]
    contradicting(runs, "has 1 steps instead of 2", steps=decode.steps[:1])


def test_spans_that_do_not_add_up_are_refused(runs):
    decode = runs[-1].record.phases[-1]
    first = replace(decode.steps[0], send_s=0.2)
    contradicting(runs, "its spans do not add up", steps=(first, *decode.steps[1:]))


def test_a_token_too_many_is_refused(runs):
    more = replace(runs[-1].record, token_ids=(*runs[-1].record.token_ids, 7))
    with pytest.raises(MeasurementError, match="it has 4 tokens after 2 decode steps"):
        check_consistency([*runs[:-1], dataclasses.replace(runs[-1], record=more)])
