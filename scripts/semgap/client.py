"""The client's side of a session: one step loop for every mode."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec
from torch import Tensor

import semgap.errors
from semgap.errors import RemoteError, SemgapError
from semgap.messages import setup_messages
from semgap.meters.clock import Reading
from semgap.policy import Home, Policy, TensorClass
from semgap.protocol import Configure, Done, Failed, Forward, Ping, Release, Request, StoreWeights
from semgap.records import Manifest, StepRecord
from semgap.transport.base import Channel, RequestMessage, Tensors, tensor_bytes


@dataclass(frozen=True)
class Exchange:
    """A request that was carried out: the reply, and what it took."""

    done: Done
    tensors: Tensors
    step: StepRecord


@dataclass(frozen=True)
class KvCacheState:
    """The KV cache between two steps: in hand, or a reference ID to it, or not begun.

    Attributes:
        positions: tokens that it holds.
    """

    tensors: Sequence[Tensor] = ()
    reference_id: str | None = None
    positions: int = 0


class InferenceClient:
    """Runs a model under a policy, over a channel.

    Args:
        weights: the state dict's tensors on the CPU, in the manifest's order.
    """

    def __init__(
        self, channel: Channel, policy: Policy, manifest: Manifest, weights: Sequence[Tensor]
    ) -> None:
        self._channel = channel
        self._policy = policy
        self._manifest = manifest
        sent_at_setup = {Home.WORKER: weights, Home.CLIENT: ()}
        sent_with_each_step = {Home.WORKER: (), Home.CLIENT: weights}
        self._setup_weights: Sequence[Tensor] = sent_at_setup[policy.weights]
        self._step_weights: Sequence[Tensor] = sent_with_each_step[policy.weights]
        self._clock_offset_ns = 0

    def configure(self) -> Done:
        """Let the worker build the model's architecture; no weight crosses."""
        names = tuple(tensor.name for tensor in self._manifest.tensors)
        header = Configure(self._manifest.model_config, self._manifest.dtype, names)
        return self._exchange(header).done

    def apply_clock_offset(self, offset_ns: int) -> None:
        """From now on, take this off the worker's time stamps."""
        self._clock_offset_ns = offset_ns

    def read_clocks(self) -> Reading:
        """Both sides' monotonic clocks around one exchange."""
        begin_ns = time.monotonic_ns()
        done = self._exchange(Ping()).done
        return Reading(begin_ns, done.begin_ns, done.end_ns, time.monotonic_ns())

    def setup_steps(self) -> Iterator[StepRecord]:
        """Send the weights that the policy keeps on the worker, a message for each item."""
        sizes_bytes = [weight.nbytes for weight in self._setup_weights]
        for message in setup_messages(sizes_bytes):
            weights = self._setup_weights[message.start : message.stop]
            yield self._exchange(StoreWeights(message.start), {TensorClass.WEIGHTS: weights}).step

    def forward(
        self,
        tokens: Tensor,
        kv_cache: KvCacheState,
        logits_to_keep: int,
        request_type: type[Forward] = Forward,
    ) -> tuple[Tensor, KvCacheState, Exchange]:
        """Run one pass over ``tokens`` (int64, shape (1, n)), continuing from ``kv_cache``.

        Returns:
            The logits on the CPU, of shape (1, kept positions, vocabulary); the state to continue
            from, which replaces ``kv_cache``; and what the exchange took.

        Raises:
            RemoteError: the worker refused or failed.
            TransportError: the worker could not be reached.
        """
        header = request_type(
            logits_to_keep=logits_to_keep,
            kv_cache_home=self._policy.kv_cache,
            reference_id=kv_cache.reference_id,
        )
        tensors = {
            TensorClass.WEIGHTS: self._step_weights,
            TensorClass.TOKENS: [tokens],
            TensorClass.KV_CACHE: kv_cache.tensors,
        }
        exchange = self._exchange(header, {name: group for name, group in tensors.items() if group})
        extended = KvCacheState(
            exchange.tensors.get(TensorClass.KV_CACHE, ()),
            exchange.done.reference_id,
            kv_cache.positions + tokens.shape[1],
        )
        step = msgspec.structs.replace(exchange.step, context_tokens=extended.positions)
        return exchange.tensors[TensorClass.LOGITS][0], extended, replace(exchange, step=step)

    def release(self, kv_cache: KvCacheState) -> None:
        """Free what the worker keeps of a KV cache that is not continued."""
        if kv_cache.reference_id is not None:
            self._exchange(Release(kv_cache.reference_id))

    def worker_cpu_s(self) -> float:
        """Processor time that the worker process has used until now."""
        return self._exchange(Ping()).done.cpu_s

    def _exchange(self, header: Request, tensors: Tensors | None = None) -> Exchange:
        sent: Tensors = tensors or {}
        begin_ns = time.monotonic_ns()
        reply = self._channel.request(RequestMessage(header, sent))
        end_ns = time.monotonic_ns()
        if isinstance(reply.header, Failed):
            raise _error_of(reply.header)
        done = reply.header
        received_ns = done.received_ns - self._clock_offset_ns
        worker_end_ns = done.end_ns - self._clock_offset_ns
        step = StepRecord(
            latency_s=(end_ns - begin_ns) / 1e9,
            serialise_s=(reply.serialised_ns - begin_ns) / 1e9,
            send_s=(received_ns - reply.serialised_ns) / 1e9,
            queue_s=(done.begin_ns - done.received_ns) / 1e9,
            upload_s=done.upload_s,
            worker_s=(done.end_ns - done.begin_ns) / 1e9 - done.upload_s,
            compute_s=done.compute_s,
            download_s=done.download_s,
            receive_s=(end_ns - worker_end_ns) / 1e9 - done.download_s,
            compute_cpu_s=done.compute_cpu_s,
            up_bytes={name: tensor_bytes(sent, name) for name in sent},
            down_bytes={name: tensor_bytes(reply.tensors, name) for name in reply.tensors},
        )
        return Exchange(done, reply.tensors, step)


def _error_of(failed: Failed) -> SemgapError:
    error_type: type[SemgapError] = getattr(semgap.errors, failed.kind, RemoteError)
    return error_type(failed.cause, failed.remedy)
