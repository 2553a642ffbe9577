"""The gate for files: the runs are those that were asked for, and each has its own."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from semgap.analysis.evidence import Evidence, Run
from semgap.analysis.expectation import Expectation, ExpectedRun
from semgap.errors import MeasurementError
from semgap.measurement.run_record import RunRecord
from semgap.model.prompt import Prompt, prompt_digest
from semgap.plumbing.files import digest_of


def check_belonging(evidence: Evidence) -> None:
    """Check that model and runs are those of the configuration, and each run its own session.

    Raises:
        MeasurementError: names the file that is something else than it should be.
    """
    _check_model(evidence)
    _check_settings(evidence)
    sessions: dict[str, Run] = {}
    for run in evidence.runs:
        other = sessions.setdefault(run.record.session_id, run)
        if other is not run:
            raise MeasurementError(
                f"'{other.record_file}' and '{run.record_file}' are of one session: one is a copy.",
                f"Delete the copy's files, or both '{other.record_file}' and '{run.record_file}', "
                "and run again: what is missing is measured again.",
            )


def check_files(
    evidence: Evidence, prompt: Prompt, logits: Sequence[Path], captures: Sequence[Path]
) -> None:
    """Check that prompt, logits and captures are those of the runs, in the runs' order.

    Raises:
        MeasurementError: names the file that is something else than it should be.
    """
    expectation = evidence.expectation
    for what, found, wanted in (
        ("number of tokens", len(prompt.token_ids), expectation.prompt_tokens),
        ("seed", prompt.seed, expectation.prompt_seed),
        ("text", prompt.text, expectation.prompt_text),
    ):
        # How many tokens a text has is its tokenizer's affair.
        if found != wanted and (what, wanted) != ("number of tokens", None):
            raise MeasurementError(
                f"The prompt has the {what} {found!r}; the configuration says {wanted!r}.",
                _measure_all(expectation),
            )
    for run, *files in zip(evidence.runs, logits, captures, strict=True):
        if run.record.prompt_sha256 != prompt_digest(prompt):
            raise MeasurementError(
                f"'{run.record_file}' was measured with another prompt than this one.",
                measure_again(run.record_file),
            )
        digests = (run.record.logits_sha256, run.record.capture_sha256)
        for file, digest in zip(files, digests, strict=True):
            if digest_of(file) != digest:
                raise MeasurementError(
                    f"'{file}' is not the file that was written with '{run.record_file}': it was "
                    "changed or replaced after the measurement.",
                    measure_again(file),
                )


def _check_model(evidence: Evidence) -> None:
    expectation, manifest = evidence.expectation, evidence.manifest
    model = expectation.model
    for what, found, wanted in (
        ("name", manifest.name, model.name),
        ("origin", manifest.origin, model.origin),
        ("dtype", manifest.dtype, model.dtype),
        ("folder of weights", manifest.weights_id, expectation.weights_id),
    ):
        if found != wanted:
            raise MeasurementError(
                f"The model that was described has the {what} '{found}'; this configuration says "
                f"'{wanted}'.",
                _measure_all(expectation),
            )


def _check_settings(evidence: Evidence) -> None:
    differing = [
        (run.record_file, what, found, wanted)
        for expected, run in zip(evidence.expectation.runs, evidence.runs, strict=True)
        for what, found, wanted in _properties(run.record, expected, evidence)
        if found != wanted
    ]
    if differing:
        file, what, found, wanted = differing[0]
        others = len({other for other, *_ in differing}) - 1
        raise MeasurementError(
            f"'{file}' was measured with {what} {found}; this configuration says {wanted}."
            + (f" {others} more records do not fit it." if others else ""),
            f"Delete the folder '{file.parents[1]}' and run again: all is measured again."
            if others
            else measure_again(file),
        )


def _properties(
    record: RunRecord, expected: ExpectedRun, evidence: Evidence
) -> Iterator[tuple[str, object, object]]:
    yield "mode", record.mode, expected.mode
    yield from _differing(record.settings, expected.settings)
    label = expected.policy.label
    yield from _differing(msgspec.structs.replace(record.policy, label=label), expected.policy)
    yield "transport", record.transport, expected.transport
    yield "link", record.link, expected.link
    yield "model", record.model_fingerprint, evidence.manifest.fingerprint
    if evidence.expectation.prompt_tokens is not None:
        yield "number of tokens", record.prompt_tokens, evidence.expectation.prompt_tokens


def _differing(
    found: msgspec.Struct, wanted: msgspec.Struct, prefix: str = ""
) -> Iterator[tuple[str, object, object]]:
    """Settings by their key in the configuration."""
    for name in wanted.__struct_fields__:
        one, other = getattr(found, name), getattr(wanted, name)
        if isinstance(other, msgspec.Struct):
            yield from _differing(one, other, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", one, other


def measure_again(file: Path) -> str:
    """The remedy for a file that is not what it should be."""
    return f"Delete '{file}' and run again: only that repeat is measured again."


def _measure_all(expectation: Expectation) -> str:
    return (
        f"Delete the folder 'results/{expectation.experiment}' and run again, or choose another "
        "name for the experiment."
    )
