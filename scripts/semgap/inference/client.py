"""The client's side of a session: requests whose tensors the policy's placements choose."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from torch import Tensor

import semgap.errors
from semgap import protocol
from semgap.errors import RemoteError, SemgapError
from semgap.inference.steps import StepRecord
from semgap.model.manifest import Manifest
from semgap.placements import Held, load_placement
from semgap.policy import Policy, TensorClass
from semgap.transport import Channel, RequestMessage, Tensors, tensor_bytes

# Setup sends weights in messages of this size, so that neither side holds a second copy of them.
_SETUP_MESSAGE_BYTES = 64_000_000

# Resident logits do not cross with a step, so the worker chooses the token.
_PASS_TYPES: Mapping[str, type[protocol.Forward]] = MappingProxyType(
    {"inline": protocol.Forward, "resident": protocol.GreedyForward}
)


class Posted(NamedTuple):
    """Requests whose replies were not waited for."""

    requests: int
    compute_s: float  # of them all, on the worker


@dataclass(frozen=True)
class Exchange:
    """A completed request: its reply and its timing."""

    done: protocol.Done
    tensors: Tensors
    step: StepRecord
    posted: Posted


class InferenceClient:
    """Runs a model under a policy, over a channel.

    Args:
        weights: the state dict's tensors on the CPU, in the manifest's order.

    Attributes:
        worker_ahead_ns: how far the worker's monotonic clock is ahead; 0 on one machine.
        setup_weights: those that the policy keeps on the worker from the start.
    """

    def __init__(
        self, channel: Channel, policy: Policy, manifest: Manifest, weights: Sequence[Tensor]
    ) -> None:
        self.worker_ahead_ns = 0
        self._channel = channel
        self._policy = policy
        self.manifest = manifest
        placement = load_placement(policy.weights)
        self.setup_weights = placement.at_setup(weights)
        self._step_weights = placement.up(Held(weights))
        self._kv_placement = load_placement(policy.kv_cache)
        self._token_placement = load_placement(policy.tokens)
        self._pass_type = _PASS_TYPES[policy.logits]

    def configure(self, engine: str) -> protocol.Done:
        """Build the model's architecture and the engine on the worker; no weight crosses."""
        names = tuple(tensor.name for tensor in self.manifest.tensors)
        header = protocol.Configure(
            self.manifest.model_config, self.manifest.dtype, names, engine, self._policy.kv_cache
        )
        return self.exchange(header).done

    def setup(self) -> list[StepRecord]:
        """Send the weights that the policy keeps on the worker."""
        return [
            self.exchange(protocol.StoreWeights(first), {TensorClass.WEIGHTS: weights}).step
            for first, weights in in_messages(self.setup_weights)
        ]

    def forward(
        self, tokens: Tensor, kv_cache: Held, logits_to_keep: int
    ) -> tuple[Tensor | None, Held, Exchange]:
        """Run one pass over ``tokens`` (int64, shape (1, n)), continuing from ``kv_cache``.

        Returns:
            The logits on the CPU, of shape (1, kept positions, vocabulary), or None where the
            worker keeps them; the state to continue from, which replaces ``kv_cache``; and what the
            exchange took.

        Raises:
            RemoteError: the worker refused or failed.
            TransportError: the worker could not be reached.
        """
        begin_ns = time.monotonic_ns()
        header = self._pass_type(logits_to_keep, kv_cache.positions, kv_cache.reference_id)
        tensors = {
            TensorClass.WEIGHTS: self._step_weights,
            TensorClass.TOKENS: self._token_placement.up(Held([tokens])),
            TensorClass.KV_CACHE: self._kv_placement.up(kv_cache),
        }
        exchange = self.exchange(header, {name: group for name, group in tensors.items() if group})
        returned = exchange.tensors.get(TensorClass.KV_CACHE, ())
        extended = self._kv_placement.down(kv_cache, returned, exchange.done.reference_id)
        latency_s = (time.monotonic_ns() - begin_ns) / 1e9
        placement_s = latency_s - exchange.step.latency_s + exchange.step.placement_s
        step = msgspec.structs.replace(
            exchange.step, latency_s=latency_s, placement_s=placement_s, begin_ns=begin_ns
        )
        logits = exchange.tensors.get(TensorClass.LOGITS)
        extended = replace(extended, positions=kv_cache.positions + tokens.shape[1])
        return None if logits is None else logits[0], extended, replace(exchange, step=step)

    def fetch(self, reference_id: str) -> Tensor:
        """Fetch logits of shape (vocabulary,) that the worker kept; the worker frees them."""
        return self.exchange(protocol.Fetch(reference_id)).tensors[TensorClass.LOGITS][0]

    def release(self, reference_id: str) -> None:
        """Free what the worker keeps under a reference ID."""
        self.exchange(protocol.Release(reference_id))

    def duplicate(self, reference_id: str) -> str:
        """Let the worker keep a copy of a KV cache; returns the copy's reference ID."""
        duplicate_id = self.exchange(protocol.Duplicate(reference_id)).done.reference_id
        assert duplicate_id is not None, "the worker names what it keeps"
        return duplicate_id

    def start_meters(
        self, around_phase: Sequence[str], around_passes: Sequence[str]
    ) -> protocol.Done:
        """Start meters on the worker's host: now, and around each forward pass."""
        return self.exchange(protocol.StartMeters(tuple(around_phase), tuple(around_passes))).done

    def read_meters(self) -> protocol.MetersRead:
        """Stop the worker's meters; the reply carries their readings."""
        done = self.exchange(protocol.ReadMeters()).done
        assert isinstance(done, protocol.MetersRead), "the reply is of the request's kind"
        return done

    def exchange(self, header: protocol.Request, tensors: Tensors | None = None) -> Exchange:
        """Send a request and wait for its reply.

        Raises:
            RemoteError: the worker refused or failed.
            TransportError: the worker could not be reached.
        """
        sent: Tensors = tensors or {}
        begin_ns = time.monotonic_ns()
        reply = self._channel.request(RequestMessage(header, sent))
        end_ns = time.monotonic_ns()
        posted = [_done(answer) for answer in reply.posted]
        done = _done(reply.header)
        received_ns = done.received_ns - self.worker_ahead_ns
        departing_ns = reply.departing_ns - self.worker_ahead_ns
        encoded = reply.encoded
        encode_s, decode_s = (encoded.encode_s, encoded.decode_s) if encoded else (0.0, 0.0)
        step = StepRecord(
            latency_s=(end_ns - begin_ns) / 1e9,
            placement_s=encode_s + decode_s,
            serialise_s=(reply.serialised_ns - begin_ns) / 1e9 - encode_s,
            send_s=(received_ns - reply.serialised_ns) / 1e9,
            host_to_device_s=(done.delivered_ns - done.received_ns) / 1e9,
            queue_s=(done.begin_ns - done.delivered_ns) / 1e9,
            worker_s=(done.end_ns - done.begin_ns) / 1e9,
            compute_s=done.compute_s,
            device_to_host_s=(reply.departing_ns - done.end_ns) / 1e9,
            receive_s=(end_ns - departing_ns) / 1e9 - decode_s,
            up_bytes={name: tensor_bytes(sent, name) for name in sent},
            down_bytes={name: tensor_bytes(reply.tensors, name) for name in reply.tensors},
            up_tensors=sum(map(len, sent.values())),
            down_tensors=sum(map(len, reply.tensors.values())),
            begin_ns=begin_ns,
            encoded=encoded,
        )
        computed_s = math.fsum(one.compute_s for one in posted)
        return Exchange(done, reply.tensors, step, Posted(len(posted), computed_s))

    def post(self, header: protocol.Request) -> None:
        """Send a request without waiting; the next exchange says what became of it.

        Raises:
            TransportError: the worker could not be reached.
            ConfigError: the transport always waits.
        """
        self._channel.post(RequestMessage(header))


def in_messages(weights: Sequence[Tensor]) -> Iterator[tuple[int, Sequence[Tensor]]]:
    """Split weights into runs of about ``_SETUP_MESSAGE_BYTES``, each with its first index."""
    first = 0
    size_bytes = 0
    for index, weight in enumerate(weights):
        size_bytes += weight.nbytes
        if size_bytes >= _SETUP_MESSAGE_BYTES:
            yield first, weights[first : index + 1]
            first, size_bytes = index + 1, 0
    if first < len(weights):
        yield first, weights[first:]


def _done(answer: protocol.Reply) -> protocol.Done:
    if isinstance(answer, protocol.Failed):
        raise _error_of(answer)
    return answer


def _error_of(failed: protocol.Failed) -> SemgapError:
    error_type: type[SemgapError] = getattr(semgap.errors, failed.kind, RemoteError)
    return error_type(failed.cause, failed.remedy)
