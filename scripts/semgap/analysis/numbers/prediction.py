"""What must cross in a run, by arithmetic on its policy and the model's shape alone."""

from collections.abc import Iterator, Mapping

from semgap.analysis.numbers.counts import PredictedRow
from semgap.measurement.run_record import PhaseRecord, RunRecord
from semgap.model.manifest import Manifest
from semgap.pcap.turns import DOWN, UP
from semgap.placements import Content, Crossing, load_placement
from semgap.policy import Policy, TensorClass, WorkerPlace
from semgap.transport import load_transport

_TOKEN_BYTES = 8  # int64


def predict(record: RunRecord, manifest: Manifest) -> list[PredictedRow]:
    """Predict the traffic of each phase, in both directions.

    Of the record, only the policy, the workload and the number of messages are used; and what an
    encoding made of the content, which no shape says.
    """
    steps = {
        "setup": [_setup(record.policy, manifest)],
        "prefill": [_step(record, manifest, before=0, known=0, new=record.prompt_tokens)],
        "decode": [
            _step(
                record,
                manifest,
                before=record.prompt_tokens + index,
                known=record.prompt_tokens + index - 1 if index else 0,
                new=1,
            )
            for index in range(record.settings.workload.decode_steps)
        ],
    }
    return [
        row for phase in record.phases for row in _rows(phase, steps[phase.name], record, manifest)
    ]


def _rows(
    phase: PhaseRecord,
    steps: list[dict[TensorClass, Crossing]],
    record: RunRecord,
    manifest: Manifest,
) -> Iterator[PredictedRow]:
    counts = _tensor_counts(manifest)
    for direction, which in ((UP, 0), (DOWN, 1)):
        crossing = [{name: sizes[which] for name, sizes in step.items()} for step in steps]
        bytes_of = {name: sum(step.get(name, 0) for step in crossing) for name in TensorClass}
        tensors = sum(counts[name] for step in crossing for name, size in step.items() if size)
        messages = phase.requests
        framing, encoded_bytes = 0, None
        if record.policy.encoding is not None:
            tensors = sum(getattr(step.encoded, f"{direction}_tensors") for step in phase.steps)
            encoded_bytes = sum(getattr(step.encoded, f"{direction}_bytes") for step in phase.steps)
        if record.policy.worker is WorkerPlace.IN_PROCESS:
            bytes_of, messages = dict.fromkeys(TensorClass, 0), 0
        else:
            each = load_transport(record.transport).FRAMING
            framing = each.message_bytes * messages + each.tensor_bytes * tensors
        yield PredictedRow(
            phase=phase.name,
            direction=direction,
            messages=messages,
            **{f"{name}_bytes": size for name, size in bytes_of.items()},
            framing_bytes=framing,
            encoded_bytes=encoded_bytes,
        )


def _setup(policy: Policy, manifest: Manifest) -> dict[TensorClass, Crossing]:
    up = load_placement(policy.weights).setup_bytes(manifest.weights_bytes)
    return {TensorClass.WEIGHTS: Crossing(up, 0)}


def _step(
    record: RunRecord, manifest: Manifest, before: int, known: int, new: int
) -> dict[TensorClass, Crossing]:
    """What crosses with a step over ``new`` positions after ``before`` of them.

    Args:
        known: how many positions the step before continued from.
    """
    policy = record.policy
    kv_cache = [
        manifest.kv_cache_bytes(positions) if positions else 0
        for positions in (before, known, before + new)
    ]
    logits = manifest.logits_bytes_per_position * min(
        new, record.settings.workload.logits_to_keep or new
    )
    contents: Mapping[TensorClass, tuple[str, Content]] = {
        TensorClass.WEIGHTS: (policy.weights, Content(manifest.weights_bytes, 0, 0)),
        TensorClass.KV_CACHE: (policy.kv_cache, Content(*kv_cache)),
        TensorClass.TOKENS: (policy.tokens, Content(_TOKEN_BYTES * new, 0, 0)),
        TensorClass.LOGITS: (policy.logits, Content(0, 0, logits)),
    }
    return {
        name: load_placement(placement).crossing(content)
        for name, (placement, content) in contents.items()
    }


def _tensor_counts(manifest: Manifest) -> dict[TensorClass, int]:
    return {
        TensorClass.WEIGHTS: len(manifest.tensors),
        TensorClass.KV_CACHE: len(manifest.kv_cache),
        TensorClass.TOKENS: 1,
        TensorClass.LOGITS: 1,
    }
