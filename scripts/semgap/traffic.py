"""What a mode must move: bytes by phase, direction and semantic class, from policy and shape alone.

A pass over n new tokens that continues a KV cache of c positions moves

    up    W·[weights at the client] + 8·n + K·c·[KV cache at the client]
    down  L·(positions kept) + K·(c + n)·[KV cache at the client]

with W bytes of weights, K bytes of KV cache a token, L bytes of logits a position and 8 bytes a
token id. Prefill is one pass with n = prompt, c = 0; decode step i has n = 1, c = prompt + i.
Nothing crosses where the worker is in the client's process. To each message comes its transport's
framing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from semgap.framing import FRAMING, Framing
from semgap.messages import setup_messages
from semgap.phases import DECODE, PREFILL, SETUP, WARMUP
from semgap.policy import Home, Policy, TensorClass, WorkerPlace
from semgap.records import Manifest
from semgap.traffic_rows import DIRECTIONS, DOWN, UP

_TOKEN_ID_BYTES = 8

# Two counts of one phase and direction agree if they differ by at most this share and so many
# bytes a step: framing carries numbers whose encoding varies in length.
TOLERANCE = 0.005
TOLERANCE_BYTES_PER_STEP = 1000

Sizes = Mapping[TensorClass, Sequence[int]]


@dataclass(frozen=True)
class Workload:
    """How many tokens a run processes.

    Attributes:
        logits_to_keep: last positions whose logits are returned; 0 returns all.
    """

    prompt_tokens: int
    decode_steps: int
    warmup_decode_steps: int
    logits_to_keep: int


@dataclass(frozen=True)
class Message:
    """A request or reply: the bytes of each tensor in it, by class."""

    direction: str
    sizes_bytes: Sizes
    framing_bytes: int

    @property
    def content_bytes(self) -> int:
        """Content of all tensors."""
        return sum(sum(sizes) for sizes in self.sizes_bytes.values())


class Prediction(msgspec.Struct, frozen=True):
    """What must cross in one direction during one phase."""

    phase: str
    direction: str
    messages: int
    weights_bytes: int
    kv_cache_bytes: int
    tokens_bytes: int
    logits_bytes: int
    framing_bytes: int

    @property
    def content_bytes(self) -> int:
        """Content of the tensors, without framing."""
        return self.weights_bytes + self.kv_cache_bytes + self.tokens_bytes + self.logits_bytes

    @property
    def total_bytes(self) -> int:
        """Content and framing: TCP payload."""
        return self.content_bytes + self.framing_bytes


def messages_of_phases(
    policy: Policy, manifest: Manifest, workload: Workload, transport: str
) -> dict[str, list[Message]]:
    """All messages that cross the network in each phase, in their order."""
    if policy.worker is WorkerPlace.IN_PROCESS:
        return {SETUP: [], WARMUP: [], PREFILL: [], DECODE: []}
    return exchanged_messages(policy, manifest, workload, FRAMING[transport])


def exchanged_messages(
    policy: Policy, manifest: Manifest, workload: Workload, framing: Framing
) -> dict[str, list[Message]]:
    """All that client and worker hand to each other in each phase, across whatever lies between."""
    prompt = workload.prompt_tokens

    def passes(first: int, count: int) -> list[Message]:
        """Passes counted from the prefill, which is number 0."""
        return [
            message
            for number in range(first, first + count)
            for message in _pass(
                policy,
                manifest,
                framing,
                new_tokens=prompt if number == 0 else 1,
                cached_tokens=0 if number == 0 else prompt + number - 1,
                logits_to_keep=workload.logits_to_keep,
            )
        ]

    return {
        SETUP: list(_setup(policy, manifest, framing)),
        WARMUP: passes(0, 1 + workload.warmup_decode_steps),
        PREFILL: passes(0, 1),
        DECODE: passes(1, workload.decode_steps),
    }


def predict(phases: Mapping[str, Sequence[Message]]) -> list[Prediction]:
    """The sums over each phase's messages, for each direction."""
    return [
        _sum_of(phase, direction, [each for each in messages if each.direction == direction])
        for phase, messages in phases.items()
        for direction in DIRECTIONS
    ]


def tolerance_bytes(expected_bytes: float, steps: int) -> float:
    """By how much another count of the same bytes may differ from what is expected.

    Nothing to move and no step to move it in leaves no room.
    """
    return TOLERANCE * expected_bytes + TOLERANCE_BYTES_PER_STEP * steps


def _sum_of(phase: str, direction: str, messages: Sequence[Message]) -> Prediction:
    def content(tensor_class: TensorClass) -> int:
        return sum(sum(message.sizes_bytes.get(tensor_class, ())) for message in messages)

    return Prediction(
        phase=phase,
        direction=direction,
        messages=len(messages),
        weights_bytes=content(TensorClass.WEIGHTS),
        kv_cache_bytes=content(TensorClass.KV_CACHE),
        tokens_bytes=content(TensorClass.TOKENS),
        logits_bytes=content(TensorClass.LOGITS),
        framing_bytes=sum(message.framing_bytes for message in messages),
    )


def _setup(policy: Policy, manifest: Manifest, framing: Framing) -> Iterator[Message]:
    if policy.weights is Home.CLIENT:
        return
    sizes_bytes = [tensor.size_bytes for tensor in manifest.tensors]
    for indices in setup_messages(sizes_bytes):
        weights = {TensorClass.WEIGHTS: sizes_bytes[indices.start : indices.stop]}
        yield _message(UP, framing, weights)
        yield _message(DOWN, framing, {})


def _pass(
    policy: Policy,
    manifest: Manifest,
    framing: Framing,
    new_tokens: int,
    cached_tokens: int,
    logits_to_keep: int,
) -> Iterator[Message]:
    request: dict[TensorClass, Sequence[int]] = {TensorClass.TOKENS: [new_tokens * _TOKEN_ID_BYTES]}
    kept = min(new_tokens, logits_to_keep) if logits_to_keep else new_tokens
    reply: dict[TensorClass, Sequence[int]] = {
        TensorClass.LOGITS: [kept * manifest.logits_bytes_per_position]
    }
    if policy.weights is Home.CLIENT:
        request[TensorClass.WEIGHTS] = [tensor.size_bytes for tensor in manifest.tensors]
    if policy.kv_cache is Home.CLIENT:
        if cached_tokens:
            request[TensorClass.KV_CACHE] = _kv_cache(manifest, cached_tokens)
        reply[TensorClass.KV_CACHE] = _kv_cache(manifest, cached_tokens + new_tokens)
    yield _message(UP, framing, request)
    yield _message(DOWN, framing, reply)


def _kv_cache(manifest: Manifest, positions: int) -> list[int]:
    tensors = manifest.kv_cache_tensors
    return [positions * manifest.kv_cache_bytes_per_token // tensors] * tensors


def _message(direction: str, framing: Framing, sizes_bytes: Sizes) -> Message:
    message_bytes = {UP: framing.request_bytes, DOWN: framing.reply_bytes}[direction]
    of_tensors = sum(
        len(sizes) * framing.tensor_bytes + framing.padding_bytes(sizes)
        for sizes in sizes_bytes.values()
    )
    return Message(direction, sizes_bytes, message_bytes + of_tensors)
