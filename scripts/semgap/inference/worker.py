"""The serving side of a session: runs forward passes and keeps what a policy lets it keep."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec
import torch
from torch import Tensor

from semgap.engine.engine_contract import Engine, load_engine
from semgap.errors import ModelError, RemoteError, SemgapError
from semgap.meters.running_meters import PhaseMeters
from semgap.model.device import Device
from semgap.model.skeleton import ModelSkeleton
from semgap.placements.kept import Kept
from semgap.placements.kv_cache import KvCache
from semgap.placements.placement_contract import load_placement
from semgap.policy import TensorClass
from semgap.protocol import (
    Chosen,
    Configure,
    Done,
    Failed,
    Fetch,
    Forward,
    GreedyForward,
    Ping,
    ReadMeters,
    Release,
    Request,
    StartMeters,
    StoreWeights,
)
from semgap.transport.transport_contract import Handler, ReplyMessage, RequestMessage, Tensors

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Outcome:
    """What a request led to; the fields are those of ``Done``."""

    tensors: Tensors = field(default_factory=dict)
    compute_s: float = 0.0
    readings: dict[str, dict[str, float]] | None = None
    reference_id: str | None = None
    token_id: int | None = None
    logits_reference_id: str = ""


class Worker(Handler):
    """One session's model, weights and KV caches on one device.

    What crosses is decided by the client's policy alone: weights that come with a pass serve that
    pass and are made unusable before the next request; weights that come to stay stay; a KV cache
    goes back or is kept as the request says.
    """

    def __init__(self, device: Device) -> None:
        self.device = device.torch_device
        self._device = device
        self._built: Engine | None = None
        self._names: tuple[str, ...] = ()
        self._kept_caches = Kept[KvCache]()
        self._kept_logits = Kept[Tensor]()
        self._borrowed: list[Tensor] = []
        self._meters = PhaseMeters((), (), device.gpu_uuid)
        self._lock = threading.Lock()
        self._actions: dict[type[Request], Callable[..., _Outcome]] = {
            Configure: self._configure,
            StoreWeights: self._store_weights,
            Forward: self._forward,
            GreedyForward: self._forward_greedy,
            Fetch: self._fetch,
            Release: self._release,
            Ping: self._ping,
            StartMeters: self._start_meters,
            ReadMeters: self._read_meters,
        }

    def handle(self, message: RequestMessage) -> ReplyMessage:
        begin_ns = time.monotonic_ns()
        self.settle()
        with self._lock:
            try:
                outcome = self._actions[type(message.header)](message.header, message.tensors)
            except Exception as error:
                log.exception("%s failed", type(message.header).__name__)
                return ReplyMessage(_failed(error))
        done = Done(
            received_ns=message.received_ns,
            begin_ns=begin_ns,
            end_ns=time.monotonic_ns(),
            compute_s=outcome.compute_s,
            cpu_s=time.process_time(),
            readings=outcome.readings,
            reference_id=outcome.reference_id,
            gpu_name=self._device.gpu_name,
            gpu_uuid=self._device.gpu_uuid,
        )
        if outcome.token_id is not None:
            done = Chosen(
                **msgspec.structs.asdict(done),
                token_id=outcome.token_id,
                logits_reference_id=outcome.logits_reference_id,
            )
        return ReplyMessage(done, outcome.tensors)

    def settle(self) -> None:
        """See ``Handler.settle``: what came for one pass must not survive it."""
        with self._lock:
            for tensor in self._borrowed:
                make_unusable(tensor)
            self._borrowed.clear()

    def _configure(self, request: Configure, _tensors: Tensors) -> _Outcome:
        dtype = getattr(torch, request.dtype)
        skeleton = ModelSkeleton(request.model_config, dtype, self._device.torch_device)
        unmatched = skeleton.weights.keys() ^ set(request.weight_names)
        if unmatched:
            raise ModelError(
                f"The announced weights do not fit the architecture: '{min(unmatched)}' is on one "
                "side only.",
                "Use weights that belong to the model's config.json.",
            )
        self._names = request.weight_names
        self._built = load_engine(request.engine).build_engine(skeleton)
        return _Outcome()

    def _store_weights(self, request: StoreWeights, tensors: Tensors) -> _Outcome:
        weights = tensors[TensorClass.WEIGHTS]
        self._engine.bind(self._names[request.first : request.first + len(weights)], weights)
        return _Outcome()

    def _forward(self, request: Forward, tensors: Tensors) -> _Outcome:
        run, arrived = self._prepared_pass(request, tensors)
        with self._meters.around_pass():
            (logits, kv_cache), compute_s = self._device.timed(run)
        returned, reference_id = self._returned(request, arrived, logits, kv_cache)
        return _Outcome(returned, compute_s=compute_s, reference_id=reference_id)

    def _forward_greedy(self, request: GreedyForward, tensors: Tensors) -> _Outcome:
        outcome = self._forward(request, tensors)
        crossing = dict(outcome.tensors)
        last = crossing.pop(TensorClass.LOGITS)[0][0, -1]
        return replace(
            outcome,
            tensors=crossing,
            token_id=int(last.argmax()),
            logits_reference_id=self._kept_logits.keep(last),
        )

    def _fetch(self, request: Fetch, _tensors: Tensors) -> _Outcome:
        return _Outcome({TensorClass.LOGITS: [self._kept_logits.take(request.reference_id)]})

    def _prepared_pass(
        self, request: Forward, tensors: Tensors
    ) -> tuple[Callable[[], tuple[Tensor, KvCache]], KvCache]:
        """Have everything ready that the pass needs.

        Returns:
            A call that computes and does no more, and the KV cache that it works on.
        """
        tokens = tensors[TensorClass.TOKENS][0]
        came = tensors.get(TensorClass.KV_CACHE, ())
        self._borrowed.extend(came)
        kv_cache = load_placement(request.placement.strip()).arrive(
            self._kept_caches, request.reference_id, came
        )
        if TensorClass.WEIGHTS not in tensors:
            return lambda: self._engine.forward(tokens, kv_cache, request.logits_to_keep), kv_cache

        weights = tensors[TensorClass.WEIGHTS]
        self._borrowed.extend(weights)
        self._engine.bind(self._names, weights)

        def run_with_borrowed_weights() -> tuple[Tensor, KvCache]:
            try:
                return self._engine.forward(tokens, kv_cache, request.logits_to_keep)
            finally:
                self._engine.release()

        return run_with_borrowed_weights, kv_cache

    def _returned(
        self, request: Forward, arrived: KvCache, logits: Tensor, kv_cache: KvCache
    ) -> tuple[Tensors, str | None]:
        returned, reference_id = load_placement(request.placement.strip()).leave(
            self._kept_caches, arrived, kv_cache
        )
        answer = {TensorClass.LOGITS: [logits], TensorClass.KV_CACHE: returned}
        return {name: group for name, group in answer.items() if group}, reference_id

    def _release(self, request: Release, _tensors: Tensors) -> _Outcome:
        of_logits = request.reference_id in self._kept_logits
        (self._kept_logits if of_logits else self._kept_caches).take(request.reference_id)
        return _Outcome()

    def _ping(self, _request: Ping, _tensors: Tensors) -> _Outcome:
        return _Outcome()

    def _start_meters(self, request: StartMeters, _tensors: Tensors) -> _Outcome:
        self._meters = PhaseMeters(
            request.around_phase, request.around_passes, self._device.gpu_uuid
        )
        return _Outcome()

    def _read_meters(self, _request: ReadMeters, _tensors: Tensors) -> _Outcome:
        return _Outcome(readings=self._meters.stop())

    @property
    def _engine(self) -> Engine:
        if self._built is None:
            raise RemoteError(
                "The session has no model yet.", "Send the model's configuration first."
            )
        return self._built


def make_unusable(tensor: Tensor) -> None:
    """Put a NaN into every row, so that no later use of any of it gives an answer.

    One a row is enough, since every row that an operator reads takes part in its result, and
    costs a tenth of filling the tensor: this happens while the next request arrives. Integers,
    which have no NaN, become 0.
    """
    if tensor.is_floating_point():
        (tensor[..., :1] if tensor.dim() else tensor).fill_(torch.nan)
    else:
        tensor.zero_()


def _failed(error: Exception) -> Failed:
    if isinstance(error, SemgapError):
        return Failed(type(error).__name__, error.cause, error.remedy)
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "not enough memory" in str(error):
        return Failed(
            RemoteError.__name__,
            f"The worker ran out of memory: {error}.",
            "Use a smaller model or dtype, a shorter prompt, or a device with more memory.",
        )
    return Failed(
        RemoteError.__name__,
        f"The worker failed with {type(error).__name__}: {error}.",
        "The traceback is in the worker's log.",
    )
