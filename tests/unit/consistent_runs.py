"""An experiment in which every figure is what it must be, and ways to change one of them."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np

from records import SECOND_NS, run
from semgap.checks.evidence import Evidence, RunEvidence
from semgap.framing import NO_FRAMING
from semgap.modes import POLICIES, policy_of
from semgap.prompt import prompt_digest
from semgap.records import (
    CaptureStatus,
    ControlTraffic,
    Host,
    Manifest,
    PhaseRecord,
    Prompt,
    SocketPair,
    StepRecord,
    WeightTensor,
)
from semgap.settings import ExperimentSettings
from semgap.traffic import exchanged_messages, messages_of_phases, predict
from semgap.traffic_rows import KERNEL, TCPDUMP, TrafficRow

MODES = tuple(policy.mode for policy in POLICIES)
LABELS = {policy.mode: policy.label for policy in POLICIES}
REPEATS = (1, 2)
TOKENS = (3, 1, 4, 1)
CAPTURED = CaptureStatus(True, "", "lo", 10, 0)
NOT_CAPTURED = CaptureStatus(False, "tcpdump is not installed.", "lo")
PROMPT = Prompt((1, 2, 3, 4, 5))

# 1,024 B of weights, 80 B of KV cache a token, 40 B of logits a position.
MANIFEST = Manifest(
    name="small",
    origin="made from seed 0",
    pretrained=False,
    dtype="float32",
    parameters=256,
    weights_bytes=1024,
    kv_cache_tensors=4,
    kv_cache_bytes_per_token=80,
    logits_bytes_per_position=40,
    vocabulary_size=10,
    max_positions=64,
    fingerprint="f",
    model_config="{}",
    tensors=(WeightTensor("head", (250,), 1000), WeightTensor("bias", (6,), 24)),
    files=(),
)


def honest(captured=True, gpu=False):
    """Four modes, two repeats each: a prompt of 5 tokens, 3 decode steps, 1 to warm up."""
    settings = ExperimentSettings(
        experiment="test",
        decode_steps=3,
        warmup_decode_steps=1,
        logits_to_keep=1,
        device="cuda:0" if gpu else "cpu",
        transport="tcp",
        interface="lo",
    )
    evidence = Evidence(MANIFEST, PROMPT, settings, ())
    # Interleaved, as a benchmark runs them; each run has a thousand seconds to itself.
    runs = [
        _run(evidence, mode, repeat, 1000 * (1 + len(MODES) * (repeat - 1) + index), captured, gpu)
        for repeat in REPEATS
        for index, mode in enumerate(MODES)
    ]
    # In the order of the files: mode by mode.
    runs.sort(key=lambda each: (MODES.index(each.mode), each.repeat))
    return replace(evidence, runs=tuple(runs))


def changed(evidence, mode, repeat, *edits):
    """The same experiment with one run edited; each edit makes a run of a run."""
    runs = []
    for each in evidence.runs:
        if (each.mode, each.repeat) == (mode, repeat):
            for edit in edits:
                each = edit(each)
        runs.append(each)
    return replace(evidence, runs=tuple(runs))


def found_in(evidence, mode, repeat):
    """One run."""
    return next(each for each in evidence.runs if (each.mode, each.repeat) == (mode, repeat))


def of_run(**values):
    """Another value of some fields of the evidence of a run; a function is given the old value."""
    return lambda each: replace(each, **_resolved(each, values))


def of_record(**values):
    """As ``of_run``, of its record."""
    return of_run(record=lambda record: _edited(record, values))


def of_phase(name, **values):
    """As ``of_run``, of a phase."""

    def edit(phases):
        return tuple(_edited(each, values) if each.name == name else each for each in phases)

    return of_record(phases=edit)


def of_step(phase, number, **values):
    """As ``of_run``, of a step; the first is number 1."""

    def edit(steps):
        return tuple(
            _edited(each, values) if index == number else each
            for index, each in enumerate(steps, start=1)
        )

    return of_phase(phase, steps=edit)


def of_traffic(phase, direction, **values):
    """As ``of_run``, of what was counted in one direction of a phase."""

    def edit(rows):
        return tuple(
            _edited(row, values) if (row.phase, row.direction) == (phase, direction) else row
            for row in rows
        )

    return of_run(traffic=edit)


def plus(amount):
    """The old value and so much more."""
    return lambda value: value + amount


def _edited(struct, values):
    return msgspec.structs.replace(struct, **_resolved(struct, values))


def _resolved(old, values):
    return {
        name: value(getattr(old, name)) if callable(value) else value
        for name, value in values.items()
    }


def _run(evidence, mode, repeat, begin_s, captured, gpu):
    policy, settings, workload = policy_of(mode), evidence.settings, evidence.workload
    predictions = predict(messages_of_phases(policy, MANIFEST, workload, settings.transport))
    total_bytes = {(row.phase, row.direction): row.total_bytes for row in predictions}
    exchanged = exchanged_messages(policy, MANIFEST, workload, NO_FRAMING)
    phases = tuple(
        _phase(name, begin_s + 100 * index, exchanged[name], total_bytes, gpu)
        for index, name in enumerate(exchanged, start=1)
    )
    record = run(
        mode,
        repeat,
        transport="in_process" if mode == "local" else settings.transport,
        device=settings.device,
        session_id=f"session {begin_s}",
        started_unix_ns=begin_s * SECOND_NS,
        prompt_tokens=len(PROMPT.token_ids),
        prompt_sha256=prompt_digest(PROMPT),
        decode_steps=settings.decode_steps,
        warmup_decode_steps=settings.warmup_decode_steps,
        host=Host("host", "6.0", "a processor", 2, 8_000_000_000, "a GPU" if gpu else ""),
        phases=phases,
        token_ids=TOKENS,
        control=(ControlTraffic(SocketPair("127.0.0.1", begin_s, "127.0.0.1", 4000), 1000),),
        capture=CAPTURED if captured else NOT_CAPTURED,
    )
    traffic = tuple(
        TrafficRow(
            *key,
            TCPDUMP if captured else KERNEL,
            payload_bytes,
            *((0, payload_bytes, 1) if captured else (None, None, None)),
        )
        for key, payload_bytes in total_bytes.items()
    )
    logits = np.zeros((len(TOKENS), MANIFEST.vocabulary_size), dtype=np.float32)
    logits[range(len(TOKENS)), TOKENS] = 1.0
    return RunEvidence(mode, repeat, record, logits, traffic)


def _phase(name, begin_s, messages, total_bytes, gpu):
    first_context = {"setup": 0, "decode": len(PROMPT.token_ids) + 1}.get(
        name, len(PROMPT.token_ids)
    )
    steps = tuple(
        _step(begin_s, request, reply, number, first_context and first_context + number)
        for number, (request, reply) in enumerate(zip(messages[::2], messages[1::2], strict=True))
    )
    compute_s = sum(step.compute_s for step in steps)
    return PhaseRecord(
        name=name,
        begin_unix_ns=begin_s * SECOND_NS,
        end_unix_ns=(begin_s + 10) * SECOND_NS,
        # Counted from another instant than the wall clock.
        begin_ns=(begin_s - 500) * SECOND_NS,
        end_ns=(begin_s - 490) * SECOND_NS,
        latency_s=sum(step.latency_s + step.choose_s for step in steps) + 0.001,
        worker_cpu_s=1.6 * compute_s + 0.01,
        socket_up_bytes=total_bytes[name, "up"],
        socket_down_bytes=total_bytes[name, "down"],
        steps=steps,
        kernel_s=0.9 * compute_s if gpu and name in ("prefill", "decode") else None,
    )


def _step(begin_s, request, reply, number, context_tokens):
    # No two runs take equally long.
    compute_s = 0.2 + begin_s * 1e-6 + number * 1e-3
    return StepRecord(
        latency_s=compute_s + 0.322,
        serialise_s=0.01,
        send_s=0.1,
        queue_s=0.02,
        upload_s=0.03,
        worker_s=compute_s + 0.002,
        compute_s=compute_s,
        download_s=0.04,
        receive_s=0.12,
        compute_cpu_s=1.5 * compute_s,
        up_bytes={name: sum(sizes) for name, sizes in request.sizes_bytes.items()},
        down_bytes={name: sum(sizes) for name, sizes in reply.sizes_bytes.items()},
        choose_s=0.002,
        context_tokens=context_tokens,
    )
