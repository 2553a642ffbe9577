"""Runs belong to the experiment and to each other, and each was measured by a job of its own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import pairwise

from semgap.checks.catalogue import Check, Finding
from semgap.checks.evidence import Evidence, RunEvidence
from semgap.modes import policy_of
from semgap.policy import WorkerPlace
from semgap.prompt import prompt_digest
from semgap.records import RunRecord

_NO_TRANSPORT = "in_process"
_DIGEST_DIGITS = 12


def same_setup(evidence: Evidence) -> Iterator[Finding]:
    """Compare every run with the configuration, and the rest of its set-up with the first run's."""
    first = evidence.runs[0].record
    for run in evidence.runs:
        record = run.record
        policy = policy_of(run.mode)
        networked = policy.worker is WorkerPlace.SERVER
        settings = evidence.settings
        expected = {
            "experiment": settings.experiment,
            "transport": settings.transport if networked else _NO_TRANSPORT,
            "device": settings.device,
            "decode_steps": settings.decode_steps,
            "warmup_decode_steps": settings.warmup_decode_steps,
            "logits_to_keep": settings.logits_to_keep,
            "model_fingerprint": evidence.manifest.fingerprint,
            "compute_threads": first.compute_threads,
            "versions": first.versions,
            "host": first.host,
        }
        for what, value in expected.items():
            found = getattr(record, what)
            if found != value:
                name = what.replace("_", " ")
                yield Finding(
                    Check.SAME_SETUP, run.name, f"measured with the {name} {found}, not {value}"
                )
        for what in policy.__struct_fields__:
            found, value = getattr(record.policy, what), getattr(policy, what)
            # The label concerns the table alone.
            if found != value and what != "label":
                other = f"measured under a policy whose {what} is {found}, not {value}"
                yield Finding(Check.SAME_SETUP, run.name, other)
        if record.capture.interface != settings.interface:
            interfaces = f"{record.capture.interface}, not {settings.interface}"
            yield Finding(Check.SAME_SETUP, run.name, f"captured on the interface {interfaces}")


def same_workload(evidence: Evidence) -> Iterator[Finding]:
    """Every run took the experiment's prompt, the configured passes, and their whole context."""
    workload = evidence.workload
    prompt = workload.prompt_tokens
    digest = prompt_digest(evidence.prompt)
    passes = {
        "warmup": 1 + workload.warmup_decode_steps,
        "prefill": 1,
        "decode": workload.decode_steps,
    }
    for run in evidence.runs:
        record = run.record
        if (record.prompt_tokens, record.prompt_sha256) != (prompt, digest):
            other = (
                f"a prompt of {record.prompt_tokens} tokens with the digest "
                f"{record.prompt_sha256[:_DIGEST_DIGITS]}… instead of {prompt} with "
                f"{digest[:_DIGEST_DIGITS]}…"
            )
            yield Finding(Check.SAME_WORKLOAD, run.name, other)
        for phase in record.phases:
            if phase.name not in passes:
                continue
            where = f"{run.name}, {phase.name}"
            first = prompt + 1 if phase.name == "decode" else prompt
            expected = list(range(first, first + passes[phase.name]))
            found = [step.context_tokens for step in phase.steps]
            if found != expected:
                contexts = f"passes over contexts of {found} tokens instead of {expected}"
                yield Finding(Check.SAME_WORKLOAD, where, contexts)


def own_measurement(evidence: Evidence) -> Iterator[Finding]:
    """Each file holds its own run, and no two files share what only one job can have seen."""
    for run in evidence.runs:
        record = run.record
        if (record.mode, record.repeat) != (run.mode, run.repeat):
            says = f"its file holds {record.mode}, repeat {record.repeat}"
            yield Finding(Check.OWN_MEASUREMENT, run.name, says)
    unique: dict[str, Callable[[RunRecord], Hashable]] = {
        "session": lambda record: record.session_id,
        "start": lambda record: record.started_unix_ns,
        "connections": lambda record: record.control,
        "phases": lambda record: tuple(phase.begin_unix_ns for phase in record.phases),
        "latencies": _latencies,
    }
    for what, value_of in unique.items():
        yield from _shared(evidence.runs, what, value_of)
    yield from _overlapping(evidence.runs)


def _shared(
    runs: Sequence[RunEvidence], what: str, value_of: Callable[[RunRecord], Hashable]
) -> Iterator[Finding]:
    owners: dict[Hashable, RunEvidence] = {}
    for run in runs:
        owner = owners.setdefault(value_of(run.record), run)
        if owner is not run:
            yield Finding(Check.OWN_MEASUREMENT, run.name, f"has the {what} of {owner.name}")


def _overlapping(runs: Sequence[RunEvidence]) -> Iterator[Finding]:
    spans = sorted(
        (run.record.started_unix_ns, run.record.phases[-1].end_unix_ns, run.name) for run in runs
    )
    for (_, end_ns, earlier), (begin_ns, _, later) in pairwise(spans):
        if begin_ns < end_ns:
            yield Finding(Check.OWN_MEASUREMENT, later, f"began before {earlier} had ended")


def _latencies(record: RunRecord) -> Hashable:
    return tuple(step.latency_s for phase in record.phases for step in phase.steps)
