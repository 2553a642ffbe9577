"""The serving side of a session: runs forward passes and keeps what a policy lets it keep."""

import logging
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from semgap import protocol
from semgap.engine import Engine, load_engine
from semgap.errors import ModelError, RemoteError
from semgap.inference.operands import Operands
from semgap.meters import PhaseMeters
from semgap.model.device import Device
from semgap.model.skeleton import ModelSkeleton
from semgap.placements import Placement, load_placement
from semgap.policy import TensorClass
from semgap.state import Kept, KvCache, make_unusable
from semgap.transport import Handler, ReplyMessage, RequestMessage, Tensors, failed_reply

log = logging.getLogger(__name__)


# Requests whose reply says more than others'.
_REPLIES: Mapping[type[protocol.Request], type[protocol.Done]] = MappingProxyType(
    {protocol.GreedyForward: protocol.Chosen, protocol.ReadMeters: protocol.MetersRead}
)

# A request's result: tensors that go back, and the reply's fields beside times and device.
Outcome = tuple[Tensors, dict[str, Any]]


class Worker(Handler):
    """One session's model, weights and KV caches on one device.

    The client's policy alone decides what crosses. Weights that arrive with a pass serve that pass
    and are made unusable before the next request. Stored weights stay for the session. The request
    says whether the KV cache goes back or is kept.
    """

    def __init__(self, device: Device) -> None:
        self.device = device.torch_device
        self._device = device
        self._configured: tuple[Engine, Placement] | None = None
        self._names: tuple[str, ...] = ()
        self._kept_caches = Kept[KvCache]()
        self._kept_logits = Kept[Tensor]()
        self._operands = Operands(device.torch_device)
        self._borrowed: list[Tensor] = []
        self._meters = PhaseMeters((), (), device.gpu_uuid)
        self._computed: set[protocol.Computed] = set()
        self._actions: dict[type[protocol.Request], Callable[..., Outcome]] = {
            protocol.Configure: self._configure,
            protocol.StoreWeights: self._store_weights,
            protocol.Forward: self._forward,
            protocol.GreedyForward: self._forward_greedy,
            protocol.Fetch: self._fetch,
            protocol.Allocate: self._allocate,
            protocol.Operate: self._operate,
            protocol.Record: self._record,
            protocol.Replay: self._replay,
            protocol.Read: self._read,
            protocol.Release: self._release,
            protocol.Duplicate: self._duplicate,
            protocol.StartMeters: self._start_meters,
            protocol.ReadMeters: self._read_meters,
            protocol.Ping: self._ping,
        }

    def handle(self, message: RequestMessage) -> ReplyMessage:
        begin_ns = time.monotonic_ns()
        self.discard()
        try:
            tensors, said = self._actions[type(message.header)](message.header, message.tensors)
        except Exception as error:
            log.exception("%s failed", type(message.header).__name__)
            return failed_reply(error)
        reply_type = _REPLIES.get(type(message.header), protocol.Done)
        done = reply_type(
            received_ns=message.received_ns,
            delivered_ns=message.delivered_ns,
            begin_ns=begin_ns,
            end_ns=time.monotonic_ns(),
            cpu_s=time.process_time(),
            gpu_name=self._device.gpu_name,
            gpu_uuid=self._device.gpu_uuid,
            **{"compute_s": 0.0, **said},
        )
        return ReplyMessage(done, tensors)

    def discard(self) -> None:
        """Make what arrived for one pass unusable."""
        for tensor in self._borrowed:
            make_unusable(tensor)
        self._borrowed.clear()

    def _configure(self, request: protocol.Configure, _tensors: Tensors) -> Outcome:
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
        engine = load_engine(request.engine).build_engine(skeleton)
        self._configured = engine, load_placement(request.placement)
        return {}, {}

    def _store_weights(self, request: protocol.StoreWeights, tensors: Tensors) -> Outcome:
        weights = tensors[TensorClass.WEIGHTS]
        engine, _placement = self._model()
        engine.bind(self._names[request.first : request.first + len(weights)], weights)
        return {}, {}

    def _ping(self, request: protocol.Ping, _tensors: Tensors) -> Outcome:
        content = torch.zeros(request.reply_bytes, dtype=torch.uint8, device=self.device)
        return {TensorClass.KV_CACHE: [content]} if request.reply_bytes else {}, {}

    def _forward(self, request: protocol.Forward, tensors: Tensors) -> Outcome:
        return self._run_pass(request, tensors, self._device.download)

    def _forward_greedy(self, request: protocol.GreedyForward, tensors: Tensors) -> Outcome:
        answer, said = self._run_pass(request, tensors, lambda logits: logits)
        crossing = dict(answer)
        last = crossing.pop(TensorClass.LOGITS)[0][0, -1]
        kept = self._kept_logits.keep(last)
        return crossing, {**said, "token_id": int(last.argmax()), "logits_reference_id": kept}

    def _run_pass(
        self, request: protocol.Forward, tensors: Tensors, delivered: Callable[[Tensor], Tensor]
    ) -> Outcome:
        engine, placement = self._model()
        tokens = tensors[TensorClass.TOKENS][0]
        weights = tensors.get(TensorClass.WEIGHTS, ())
        came = tensors.get(TensorClass.KV_CACHE, ())
        self._borrowed += [*weights, *came]
        arrived = placement.arrive(
            self._kept_caches, request.reference_id, KvCache(tuple(came), request.positions)
        )
        # What was begun before is no part of the pass.
        self._device.rest_s()
        try:
            if weights:
                engine.bind(self._names, weights)
            with self._meters.around_pass():
                logits, kv_cache = self._device.begin(
                    lambda: engine.forward(tokens, arrived, request.logits_to_keep)
                )
            # Nothing has waited for the device yet.
            self._note(logits)
            answer = {TensorClass.LOGITS: [delivered(logits)]}
            returned, reference_id = placement.leave(self._kept_caches, arrived, kv_cache)
            compute_s = self._device.rest_s()
        finally:
            if weights:
                engine.release()
        if returned:
            answer[TensorClass.KV_CACHE] = list(returned)
        return answer, {"compute_s": compute_s, "reference_id": reference_id}

    def _fetch(self, request: protocol.Fetch, _tensors: Tensors) -> Outcome:
        return {TensorClass.LOGITS: [self._kept_logits.take(request.reference_id)]}, {}

    def _allocate(self, request: protocol.Allocate, tensors: Tensors) -> Outcome:
        (group,) = tensors.values()
        self._operands.keep(request.handles, group)
        return {}, {}

    def _operate(self, request: protocol.Operate, _tensors: Tensors) -> Outcome:
        # Its pass ends where its logits are read, and nothing waits for the device until then.
        self._meters.begin_pass()
        self._device.begin(lambda: self._operands.execute(request))
        return {}, {}

    def _record(self, request: protocol.Record, _tensors: Tensors) -> Outcome:
        self._operands.record(request)
        return {}, {}

    def _replay(self, request: protocol.Replay, tensors: Tensors) -> Outcome:
        tokens = tensors[TensorClass.TOKENS][0]
        self._device.rest_s()
        with self._meters.around_pass():
            logits = self._device.begin(lambda: self._operands.replay(request.program, tokens))
        return self._delivered(logits)

    def _read(self, request: protocol.Read, _tensors: Tensors) -> Outcome:
        outcome = self._delivered(self._operands.look_up(request.handle))
        self._meters.end_pass()
        self._operands.release(request.released)
        return outcome

    def _delivered(self, logits: Tensor) -> Outcome:
        """Logits on the host, and how long all that they come from took."""
        self._note(logits)
        crossing = {TensorClass.LOGITS: [self._device.download(logits)]}
        return crossing, {"compute_s": self._device.rest_s()}

    def _note(self, logits: Tensor) -> None:
        """Remember how logits were computed."""
        dtype = str(logits.dtype).removeprefix("torch.")
        threads, place = torch.get_num_threads(), logits.device.type
        self._computed.add(protocol.Computed(threads, place, dtype))

    def _release(self, request: protocol.Release, _tensors: Tensors) -> Outcome:
        of_logits = request.reference_id in self._kept_logits
        (self._kept_logits if of_logits else self._kept_caches).take(request.reference_id)
        return {}, {}

    def _duplicate(self, request: protocol.Duplicate, _tensors: Tensors) -> Outcome:
        kept = self._kept_caches.look_up(request.reference_id)
        return {}, {"reference_id": self._kept_caches.keep(kept.copied())}

    def _start_meters(self, request: protocol.StartMeters, _tensors: Tensors) -> Outcome:
        gpu_uuid = self._device.gpu_uuid
        # What was begun before is no part of the phase.
        self._device.rest_s()
        self._meters = PhaseMeters(request.around_phase, request.around_passes, gpu_uuid)
        self._computed.clear()
        return {}, {}

    def _read_meters(self, _request: protocol.ReadMeters, _tensors: Tensors) -> Outcome:
        return {}, {"readings": self._meters.stop(), "computed": tuple(sorted(self._computed))}

    def _model(self) -> tuple[Engine, Placement]:
        if self._configured is None:
            raise RemoteError(
                "The session has no model yet.", "Send the model's configuration first."
            )
        return self._configured
