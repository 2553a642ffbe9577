"""One benchmark job: a session, its phases, and everything that is recorded of them."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from semgap.client import InferenceClient, KvCacheState
from semgap.conditions import Conditions, RunConditions
from semgap.meters.capture import Capture, CaptureUnavailableError, capture
from semgap.meters.clock import measure_offset
from semgap.meters.gpu import GpuSampler, gpu_samples
from semgap.meters.host import describe_host, versions
from semgap.meters.kernel_files import read_boot_id
from semgap.meters.positive_control import send_control_traffic
from semgap.meters.socket_counters import OwnSockets, count_own_sockets, since
from semgap.meters.sockets import sockets_of
from semgap.phases import DECODE, PREFILL, SETUP, WARMUP
from semgap.policy import Policy
from semgap.processes import threads_or_all_cores
from semgap.prompt import prompt_digest
from semgap.protocol import Forward, ProfiledForward
from semgap.records import (
    CaptureStatus,
    ClockOffset,
    Clocks,
    Manifest,
    PhaseRecord,
    Prompt,
    RunRecord,
    SocketPair,
    StepRecord,
)
from semgap.session.base import Session, WorkerSettings, load_session_module
from semgap.settings import BenchmarkSettings

log = logging.getLogger(__name__)

# Around each phase nothing is sent for this long, so that time stamps tell the phases apart.
_QUIET_S = 0.02

# Steps that a person waits for are reported one by one; for shorter ones that would cost time.
_SLOW_STEP_S = 1.0


@dataclass(frozen=True)
class Benchmark:
    """What one job found.

    Attributes:
        logits: of the last position of the prefill and of each decode step; float32, shape
            (1 + decode steps, vocabulary).
    """

    record: RunRecord
    logits: np.ndarray
    conditions: RunConditions
    gpu_uuid: str


@dataclass(frozen=True)
class BenchmarkFiles:
    """Where a benchmark job reads and writes."""

    capture: Path
    endpoint: Path | None


def run_benchmark(
    policy: Policy,
    settings: BenchmarkSettings,
    files: BenchmarkFiles,
    manifest: Manifest,
    prompt: Prompt,
    weights: Sequence[Tensor],
) -> Benchmark:
    """Measure one repeat of one mode.

    Raises:
        ServerError, WorkerLostError, RemoteError: the worker could not do its part.
        CaptureError: the capture is unusable.
    """
    started_unix_ns = time.time_ns()
    around = Conditions.look_ahead()
    worker_settings = WorkerSettings(files.endpoint, settings.device, settings.compute_threads)
    with (
        _capture(settings, files.capture) as (running, unavailable),
        load_session_module(policy.worker).open_session(worker_settings) as session,
    ):
        client = InferenceClient(session.channel, policy, manifest, weights)
        begin = partial(_Generation, client, settings, prompt, manifest.vocabulary_size)
        say = _Progress(policy.mode, settings.repeat).say
        say("the worker builds the model")
        configured = client.configure()
        with gpu_samples(configured.gpu_uuid) as sampler:
            around.begin(
                {os.getpid(), session.worker_pid, *([running.pid] if running is not None else [])},
                configured.gpu_uuid,
            )
            control = [send_control_traffic(settings.interface_address)]
            clock_before = measure_offset(client.read_clocks)
            clocks = partial(_clocks, read_boot_id() or "", configured.boot_id, clock_before)
            client.apply_clock_offset(clocks(clock_before).applied_offset_ns)
            measured = _Phases(client, session, sampler, say)
            result = _run_phases(measured, client, settings, begin)
            clock_after = measure_offset(client.read_clocks)
            control.append(send_control_traffic(settings.interface_address))
            conditions = around.end(policy.mode, settings.repeat)
        phases = measured.phases
        if configured.gpu_uuid:
            profiled = begin(request_type=ProfiledForward)
            phases = _with_kernel_time(phases, profiled, settings.decode_steps)
        if running is not None:
            running.stop()
    status = running.status if running is not None else None
    return Benchmark(
        record=RunRecord(
            experiment=settings.experiment,
            mode=policy.mode,
            repeat=settings.repeat,
            policy=policy,
            transport=session.transport,
            device=settings.device,
            compute_threads=threads_or_all_cores(settings.compute_threads),
            session_id=secrets.token_hex(16),
            started_unix_ns=started_unix_ns,
            model_fingerprint=manifest.fingerprint,
            prompt_tokens=len(prompt.token_ids),
            prompt_sha256=prompt_digest(prompt),
            decode_steps=settings.decode_steps,
            warmup_decode_steps=settings.warmup_decode_steps,
            logits_to_keep=settings.logits_to_keep,
            host=describe_host(configured.gpu_name),
            versions=versions(),
            clocks=clocks(clock_after),
            phases=phases,
            token_ids=result.token_ids,
            client_sockets=tuple(sorted(measured.client_sockets, key=_socket_order)),
            worker_sockets=tuple(sorted(measured.worker_sockets, key=_socket_order)),
            control=tuple(control),
            capture=status or CaptureStatus(False, unavailable, settings.interface),
        ),
        logits=result.logits,
        conditions=conditions,
        gpu_uuid=configured.gpu_uuid,
    )


@dataclass(frozen=True)
class _Generated:
    """What a generation led to: greedy tokens and the logits they were taken from."""

    token_ids: tuple[int, ...]
    logits: np.ndarray


class _Progress:
    """Says in the log which mode and repeat does what."""

    def __init__(self, mode: str, repeat: int) -> None:
        self._prefix = f"{mode}, repeat {repeat}"

    def say(self, what: str) -> None:
        log.info("%s: %s", self._prefix, what)


class _Phases:
    """Times phases and notes what the kernel says about sockets around them."""

    def __init__(
        self,
        client: InferenceClient,
        session: Session,
        sampler: GpuSampler,
        say: Callable[[str], None],
    ) -> None:
        self._client = client
        self._session = session
        self._sampler = sampler
        self.say = say
        self.phases: tuple[PhaseRecord, ...] = ()
        self.client_sockets: set[SocketPair] = set()
        self.worker_sockets: set[SocketPair] = set()

    def run(self, name: str, steps: Iterator[StepRecord]) -> None:
        """Time a phase that consists of steps; each is made when it is asked for."""
        cpu_begin_s = self._client.worker_cpu_s()
        self._note_sockets()
        sockets = OwnSockets.find()
        counts_before = sockets.count()
        time.sleep(_QUIET_S)
        begin_unix_ns, begin_ns = time.time_ns(), time.monotonic_ns()
        begin_s = time.perf_counter()
        made = list(self._counted(name, steps, sockets))
        latency_s = time.perf_counter() - begin_s
        time.sleep(_QUIET_S)
        end_unix_ns, end_ns = time.time_ns(), time.monotonic_ns()
        sockets.detach()
        moved = since(counts_before, count_own_sockets())
        self._note_sockets()
        moved_bytes = sum(
            sum(step.up_bytes.values()) + sum(step.down_bytes.values()) for step in made
        )
        self.say(f"{name} took {latency_s:.3f} s, tensors {moved_bytes / 1e6:,.3f} MB")
        self.phases += (
            PhaseRecord(
                name=name,
                begin_unix_ns=begin_unix_ns,
                end_unix_ns=end_unix_ns,
                begin_ns=begin_ns,
                end_ns=end_ns,
                latency_s=latency_s,
                worker_cpu_s=self._client.worker_cpu_s() - cpu_begin_s,
                socket_up_bytes=moved.sent_bytes,
                socket_down_bytes=moved.received_bytes,
                steps=tuple(made),
                gpu_samples_percent=self._sampler.between(begin_unix_ns, end_unix_ns),
            ),
        )

    def _counted(
        self, name: str, steps: Iterator[StepRecord], sockets: OwnSockets
    ) -> Iterator[StepRecord]:
        before = sockets.count()
        for number, step in enumerate(steps, start=1):
            after = sockets.count()
            moved = since(before, after)
            before = after
            yield msgspec.structs.replace(
                step, socket_up_bytes=moved.sent_bytes, socket_down_bytes=moved.received_bytes
            )
            if step.latency_s > _SLOW_STEP_S:
                self.say(f"{name} step {number} took {step.latency_s:.3f} s")

    def _note_sockets(self) -> None:
        self.client_sockets.update(sockets_of(os.getpid()))
        self.worker_sockets.update(self._session.worker_sockets())


def _run_phases(
    measured: _Phases,
    client: InferenceClient,
    settings: BenchmarkSettings,
    begin: Callable[[], _Generation],
) -> _Generated:
    measured.run(SETUP, client.setup_steps())
    generation = begin()
    measured.run(WARMUP, generation.passes(1 + settings.warmup_decode_steps))
    generation.release()

    generation = begin()
    measured.run(PREFILL, generation.passes(1))
    measured.run(DECODE, generation.passes(settings.decode_steps))
    generation.release()
    return generation.result()


class _Generation:
    """A greedy generation from the prompt, one forward pass at a time."""

    def __init__(
        self,
        client: InferenceClient,
        settings: BenchmarkSettings,
        prompt: Prompt,
        vocabulary_size: int,
        request_type: type[Forward] = Forward,
    ) -> None:
        self._client = client
        self._logits_to_keep = settings.logits_to_keep
        self._request_type = request_type
        self._tokens = torch.tensor([prompt.token_ids], dtype=torch.int64)
        self._kv_cache = KvCacheState()
        # One row a pass: a pass's logits lie in memory that serves for the next one's.
        passes = 1 + max(settings.decode_steps, settings.warmup_decode_steps)
        self._last_logits = torch.empty(passes, vocabulary_size, dtype=torch.float32)
        self._token_ids: list[int] = []
        self.kernel_s: list[float] = []

    def passes(self, count: int) -> Iterator[StepRecord]:
        """Run the next passes: the first of all over the prompt, each other one over the token
        that the one before it chose.
        """
        return (self._pass() for _ in range(count))

    def release(self) -> None:
        """Free what the worker keeps of this generation."""
        self._client.release(self._kv_cache)

    def result(self) -> _Generated:
        """The tokens chosen so far, and the logits behind them as float32."""
        logits = self._last_logits[: len(self._token_ids)]
        return _Generated(tuple(self._token_ids), logits.numpy())

    def _pass(self) -> StepRecord:
        logits, self._kv_cache, exchange = self._client.forward(
            self._tokens, self._kv_cache, self._logits_to_keep, self._request_type
        )
        begin_s = time.perf_counter()
        last = logits[0, -1]
        token_id = int(last.argmax())
        self._last_logits[len(self._token_ids)] = last
        self._token_ids.append(token_id)
        self._tokens = torch.tensor([[token_id]], dtype=torch.int64)
        if exchange.done.kernel_s is not None:
            self.kernel_s.append(exchange.done.kernel_s)
        return msgspec.structs.replace(exchange.step, choose_s=time.perf_counter() - begin_s)


def _with_kernel_time(
    phases: tuple[PhaseRecord, ...], generation: _Generation, decode_steps: int
) -> tuple[PhaseRecord, ...]:
    """Run prefill and decode once more under the kernel profiler."""
    for _ in generation.passes(1 + decode_steps):
        pass
    generation.release()
    kernel_s = {PREFILL: generation.kernel_s[0], DECODE: sum(generation.kernel_s[1:])}
    return tuple(
        msgspec.structs.replace(phase, kernel_s=kernel_s.get(phase.name)) for phase in phases
    )


@contextlib.contextmanager
def _capture(settings: BenchmarkSettings, file: Path) -> Iterator[tuple[Capture | None, str]]:
    """Capture if this machine can and the settings want it; otherwise say why not."""
    if settings.capture_use == "off":
        file.touch()
        yield None, "capture.use is off"
        return
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(capture(settings.interface, file))
        except CaptureUnavailableError as error:
            if settings.capture_use == "required":
                raise
            log.warning("%s Bytes are counted by the kernel's counters instead.", error)
            file.touch()
            yield None, error.cause
            return
        yield running, ""


def _clocks(
    client_boot_id: str, worker_boot_id: str, before: ClockOffset, after: ClockOffset
) -> Clocks:
    """What is known of both clocks; no offset is applied where they are one clock."""
    applied_ns = 0 if client_boot_id == worker_boot_id else before.offset_ns
    return Clocks(client_boot_id, worker_boot_id, applied_ns, before, after)


def _socket_order(pair: SocketPair) -> tuple[str, int, str, int]:
    return pair.local_ip, pair.local_port, pair.remote_ip, pair.remote_port
