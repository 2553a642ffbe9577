"""The same bytes, counted three times: prediction, capture, kernel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

import msgspec

from semgap.checks.catalogue import Check, Finding
from semgap.checks.evidence import Evidence, RunEvidence
from semgap.framing import NO_FRAMING
from semgap.modes import policy_of
from semgap.policy import TensorClass
from semgap.records import PhaseRecord
from semgap.traffic import (
    Message,
    Prediction,
    exchanged_messages,
    messages_of_phases,
    predict,
    tolerance_bytes,
)
from semgap.traffic_rows import TCPDUMP, UP
from semgap.wire_model import JUMBO_MTU_BYTES, USUAL_MTU_BYTES, wire_bytes


class CountRow(msgspec.Struct, frozen=True):
    """What one run moved in one direction during one phase, by each way to count it.

    Attributes:
        messages: requests or replies.
        weights_bytes, kv_cache_bytes, tokens_bytes, logits_bytes, framing_bytes: predicted.
        predicted_bytes: their sum, TCP payload.
        captured_bytes: TCP payload in the capture, each byte once; None without a capture.
        kernel_bytes: what the kernel's counters of the client's connections rose by.
        tolerance_bytes: by how much two of the three may differ.
        wire_mtu_1500_bytes, wire_mtu_9000_bytes: what the predicted messages would take on an
            Ethernet, by the model of ``wire_model.py``.
    """

    mode: str
    repeat: int
    phase: str
    direction: str
    messages: int
    weights_bytes: int
    kv_cache_bytes: int
    tokens_bytes: int
    logits_bytes: int
    framing_bytes: int
    predicted_bytes: int
    captured_bytes: int | None
    kernel_bytes: int
    tolerance_bytes: float
    wire_mtu_1500_bytes: int
    wire_mtu_9000_bytes: int

    @property
    def counts(self) -> dict[str, int]:
        """The counts that there are, by the name of the instrument."""
        named = {
            "the prediction": self.predicted_bytes,
            "the capture": self.captured_bytes,
            "the kernel": self.kernel_bytes,
        }
        return {name: count for name, count in named.items() if count is not None}

    @property
    def agrees(self) -> bool:
        """Whether no two counts differ by more than the tolerance."""
        counts = self.counts.values()
        return max(counts) - min(counts) <= self.tolerance_bytes


def count_rows(evidence: Evidence) -> list[CountRow]:
    """Put the counts of every run, phase and direction beside each other."""
    rows: list[CountRow] = []
    for run in evidence.runs:
        # By the file's mode and the configuration, not by what the run says of itself.
        crossing = messages_of_phases(
            policy_of(run.mode), evidence.manifest, evidence.workload, evidence.settings.transport
        )
        for phase, messages in crossing.items():
            rows += _rows(run, phase, messages)
    return rows


def three_counts(rows: Sequence[CountRow]) -> Iterator[Finding]:
    """Find the rows whose counts disagree, and the instrument that is alone with its count."""
    for row in rows:
        if not row.agrees:
            where = f"{row.mode}, repeat {row.repeat}, {row.phase} {row.direction}"
            yield Finding(Check.THREE_COUNTS, where, _disagreement(row))


def content(evidence: Evidence) -> Iterator[Finding]:
    """Compare the tensors that client and worker exchanged with the prediction, byte by byte."""
    for run in evidence.runs:
        messages = exchanged_messages(
            policy_of(run.mode), evidence.manifest, evidence.workload, NO_FRAMING
        )
        for predicted in predict(messages):
            found = _exchanged(_phase(run, predicted.phase), predicted.direction)
            for tensor_class, expected_bytes in _by_class(predicted).items():
                found_bytes = found[tensor_class]
                if found_bytes != expected_bytes:
                    yield Finding(
                        Check.CONTENT,
                        f"{run.name}, {predicted.phase} {predicted.direction}",
                        f"{found_bytes:,} B of {tensor_class.replace('_', ' ')} instead of "
                        f"{expected_bytes:,} B",
                    )


def _rows(run: RunEvidence, phase: str, messages: Sequence[Message]) -> Iterator[CountRow]:
    record = _phase(run, phase)
    for predicted in predict({phase: messages}):
        direction = predicted.direction
        sizes_bytes = [
            message.content_bytes + message.framing_bytes
            for message in messages
            if message.direction == direction
        ]
        counted = next(
            row for row in run.traffic if (row.phase, row.direction) == (phase, direction)
        )
        yield CountRow(
            mode=run.mode,
            repeat=run.repeat,
            phase=phase,
            direction=direction,
            messages=predicted.messages,
            weights_bytes=predicted.weights_bytes,
            kv_cache_bytes=predicted.kv_cache_bytes,
            tokens_bytes=predicted.tokens_bytes,
            logits_bytes=predicted.logits_bytes,
            framing_bytes=predicted.framing_bytes,
            predicted_bytes=predicted.total_bytes,
            captured_bytes=counted.payload_bytes if counted.source == TCPDUMP else None,
            kernel_bytes=record.socket_up_bytes if direction == UP else record.socket_down_bytes,
            tolerance_bytes=tolerance_bytes(predicted.total_bytes, predicted.messages),
            wire_mtu_1500_bytes=wire_bytes(sizes_bytes, USUAL_MTU_BYTES),
            wire_mtu_9000_bytes=wire_bytes(sizes_bytes, JUMBO_MTU_BYTES),
        )


def _phase(run: RunEvidence, name: str) -> PhaseRecord:
    return next(phase for phase in run.record.phases if phase.name == name)


def _by_class(predicted: Prediction) -> dict[TensorClass, int]:
    return {
        TensorClass.WEIGHTS: predicted.weights_bytes,
        TensorClass.KV_CACHE: predicted.kv_cache_bytes,
        TensorClass.TOKENS: predicted.tokens_bytes,
        TensorClass.LOGITS: predicted.logits_bytes,
    }


def _exchanged(phase: PhaseRecord, direction: str) -> Counter[TensorClass]:
    exchanged: Counter[TensorClass] = Counter()
    for step in phase.steps:
        exchanged.update(step.up_bytes if direction == UP else step.down_bytes)
    return exchanged


def _disagreement(row: CountRow) -> str:
    counts = row.counts
    said = ", ".join(f"{name} {count:,} B" for name, count in counts.items())
    agreeing = [
        {one, other}
        for one, other in combinations(counts, 2)
        if abs(counts[one] - counts[other]) <= row.tolerance_bytes
    ]
    if len(counts) == 3 and len(agreeing) == 1:
        (alone,) = set(counts) - agreeing[0]
        verdict = f"{alone} stands alone"
    else:
        verdict = "no majority"
    return f"{said}: {verdict} (tolerance {row.tolerance_bytes:,.0f} B)"
