"""One benchmark job: a session, its phases, and everything that is recorded of them."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from semgap.errors import MeasurementError
from semgap.inference.client import Exchange, InferenceClient, KvCacheState
from semgap.inference.steps import StepRecord
from semgap.measurement.job_settings import BenchmarkSettings
from semgap.measurement.meters.capture import (
    Capture,
    CaptureStatus,
    CaptureUnavailableError,
    capture,
)
from semgap.measurement.meters.gpu import GpuSampler, gpu_samples
from semgap.measurement.meters.host import describe_host
from semgap.measurement.meters.positive_control import send_control_traffic
from semgap.measurement.run_record import PhaseRecord, RunRecord
from semgap.model.manifest import Manifest
from semgap.model.prompt import Prompt, prompt_digest
from semgap.plumbing.connections import SocketPair, shown, strangers
from semgap.plumbing.process_sockets import sockets_of
from semgap.plumbing.processes import threads_or_all_cores
from semgap.plumbing.versions import versions
from semgap.policy import Policy
from semgap.protocol import Forward, ProfiledForward
from semgap.session.opening import Session, WorkerSettings, load_session_module

log = logging.getLogger(__name__)

# Around each phase nothing is sent for this long, so that time stamps tell the phases apart.
_QUIET_S = 0.02

# Steps that a person waits for are reported one by one; for shorter ones that would cost time.
_SLOW_STEP_S = 1.0


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
) -> tuple[RunRecord, np.ndarray]:
    """Measure one repeat of one mode.

    Returns:
        The record, and the logits of the last position of the prefill and of each decode step:
        float32, shape (1 + decode steps, vocabulary).

    Raises:
        ServerError, WorkerLostError, RemoteError: the worker could not do its part.
        CaptureError: the capture is unusable.
        MeasurementError: somebody else connected to the session.
    """
    started_unix_ns = time.time_ns()
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
            control = [send_control_traffic(settings.interface_address)]
            measured = _Phases(client, session, sampler, say)
            result = _run_phases(measured, client, settings, begin)
            control.append(send_control_traffic(settings.interface_address))
        phases = measured.phases
        if configured.gpu_uuid:
            profiled = begin(request_type=ProfiledForward)
            phases = _with_kernel_time(phases, profiled, settings.decode_steps)
        if running is not None:
            running.stop()
    status = running.status if running is not None else None
    sockets = measured.sockets
    _check_no_strangers(sockets, policy.mode, settings.repeat)
    return (
        RunRecord(
            session_id=secrets.token_hex(16),
            mode=policy.mode,
            settings=settings,
            policy=policy,
            transport=session.transport,
            compute_threads=threads_or_all_cores(settings.compute_threads),
            started_unix_ns=started_unix_ns,
            model_fingerprint=manifest.fingerprint,
            prompt_tokens=len(prompt.token_ids),
            prompt_sha256=prompt_digest(prompt),
            host=describe_host(configured.gpu_name),
            versions=versions(),
            phases=phases,
            token_ids=result.token_ids,
            client_sockets=tuple(sorted(sockets.client, key=_socket_order)),
            worker_sockets=tuple(sorted(sockets.worker, key=_socket_order)),
            listening_ports=tuple(sorted(sockets.listening_ports)),
            control=tuple(control),
            capture=status or CaptureStatus(False, unavailable, settings.interface),
        ),
        result.logits,
    )


@dataclass
class _SeenSockets:
    """What the kernel said of the two processes' sockets, whenever it was asked."""

    client: set[SocketPair] = field(default_factory=set)
    worker: set[SocketPair] = field(default_factory=set)
    listening_ports: set[int] = field(default_factory=set)


def _check_no_strangers(seen: _SeenSockets, mode: str, repeat: int) -> None:
    found = strangers(seen.client, seen.worker, seen.listening_ports)
    if found:
        raise MeasurementError(
            f"While {mode}, repeat {repeat} was measured, somebody else connected to its session: "
            f"{', '.join(map(shown, found))}.",
            "Keep other programs away from the session's ports and run again: only this repeat "
            "is measured again.",
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
        self.sockets = _SeenSockets()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[list[StepRecord]]:
        """Time the block as a phase; the block appends its steps to the list it is given."""
        steps: list[StepRecord] = []
        cpu_begin_s = self._client.worker_cpu_s()
        self._note_sockets()
        time.sleep(_QUIET_S)
        begin_unix_ns, begin_ns = time.time_ns(), time.monotonic_ns()
        begin_s = time.perf_counter()
        yield steps
        latency_s = time.perf_counter() - begin_s
        time.sleep(_QUIET_S)
        end_unix_ns, end_ns = time.time_ns(), time.monotonic_ns()
        self._note_sockets()
        moved_bytes = sum(
            sum(step.up_bytes.values()) + sum(step.down_bytes.values()) for step in steps
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
                steps=tuple(steps),
                gpu_samples_percent=self._sampler.between(begin_unix_ns, end_unix_ns),
            ),
        )

    def _note_sockets(self) -> None:
        client, worker = sockets_of(os.getpid()), self._session.worker_sockets()
        self.sockets.client.update(client.connections)
        self.sockets.worker.update(worker.connections)
        self.sockets.listening_ports.update(client.listening_ports, worker.listening_ports)


def _run_phases(
    measured: _Phases,
    client: InferenceClient,
    settings: BenchmarkSettings,
    begin: Callable[[], _Generation],
) -> _Generated:
    with measured.phase("setup") as steps:
        steps.extend(client.setup())
    generation = begin()
    with measured.phase("warmup") as steps:
        steps.append(generation.prefill())
        steps.extend(generation.decode() for _ in range(settings.warmup_decode_steps))
    generation.release()

    generation = begin()
    with measured.phase("prefill") as steps:
        steps.append(generation.prefill())
    with measured.phase("decode") as steps:
        for index in range(settings.decode_steps):
            steps.append(generation.decode())
            if steps[-1].latency_s > _SLOW_STEP_S:
                measured.say(f"decode step {index + 1} of {settings.decode_steps}")
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

    def prefill(self) -> StepRecord:
        """Run the first pass, over the whole prompt."""
        return self._step().step

    def decode(self) -> StepRecord:
        """Run one pass over the token that the last one chose."""
        return self._step().step

    def release(self) -> None:
        """Free what the worker keeps of this generation."""
        self._client.release(self._kv_cache)

    def result(self) -> _Generated:
        """The tokens chosen so far, and the logits behind them as float32."""
        logits = self._last_logits[: len(self._token_ids)]
        return _Generated(tuple(self._token_ids), logits.numpy())

    def _step(self) -> Exchange:
        logits, self._kv_cache, exchange = self._client.forward(
            self._tokens, self._kv_cache, self._logits_to_keep, self._request_type
        )
        last = logits[0, -1]
        token_id = int(last.argmax())
        self._last_logits[len(self._token_ids)] = last
        self._token_ids.append(token_id)
        self._tokens = torch.tensor([[token_id]], dtype=torch.int64)
        if exchange.done.kernel_s is not None:
            self.kernel_s.append(exchange.done.kernel_s)
        return exchange


def _with_kernel_time(
    phases: tuple[PhaseRecord, ...], generation: _Generation, decode_steps: int
) -> tuple[PhaseRecord, ...]:
    """Run prefill and decode once more under the kernel profiler."""
    generation.prefill()
    for _ in range(decode_steps):
        generation.decode()
    generation.release()
    kernel_s = {"prefill": generation.kernel_s[0], "decode": sum(generation.kernel_s[1:])}
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
            log.warning("%s Bytes are counted by the transport instead.", error)
            file.touch()
            yield None, error.cause
            return
        yield running, ""


def _socket_order(pair: SocketPair) -> tuple[str, int, str, int]:
    return pair.local_ip, pair.local_port, pair.remote_ip, pair.remote_port
