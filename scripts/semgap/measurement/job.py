"""One benchmark job: a session, its phases, and everything that is recorded of them."""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from torch import Tensor

from semgap.inference.client import InferenceClient
from semgap.inference.generation import Generated, Generation
from semgap.measurement.job_settings import BenchmarkSettings
from semgap.measurement.meters.capture import (
    Capture,
    CaptureStatus,
    CaptureUnavailableError,
    capture,
)
from semgap.measurement.meters.gpu import gpu_samples
from semgap.measurement.meters.machine import describe_machine
from semgap.measurement.meters.probe import send_probe
from semgap.measurement.phases import Phases
from semgap.measurement.run_record import PhaseRecord, RunRecord
from semgap.model.manifest import Manifest
from semgap.model.prompt import Prompt, prompt_digest
from semgap.plumbing.connections import SocketPair
from semgap.plumbing.processes import threads_or_all_cores
from semgap.plumbing.versions import versions
from semgap.policy import Policy
from semgap.protocol import ProfiledForward
from semgap.session.opening import WorkerSettings, load_session_module

log = logging.getLogger(__name__)

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
        begin = partial(
            Generation,
            client,
            prompt.token_ids,
            manifest.vocabulary_size,
            settings.logits_to_keep,
            1 + max(settings.decode_steps, settings.warmup_decode_steps),
        )
        say = _Progress(policy.mode, settings.repeat).say
        say("the worker builds the model")
        configured = client.configure()
        with gpu_samples(configured.gpu_uuid) as sampler:
            probes = [send_probe(settings.interface_address)]
            measured = Phases(client, session, sampler, say)
            result = _run_phases(measured, client, settings, begin)
            probes.append(send_probe(settings.interface_address))
        phases = measured.phases
        if configured.gpu_uuid:
            profiled = begin(request_type=ProfiledForward)
            phases = _with_kernel_time(phases, profiled, settings.decode_steps)
        if running is not None:
            running.stop()
    status = running.status if running is not None else None
    sockets = measured.sockets
    sockets.check_no_strangers(f"{policy.mode}, repeat {settings.repeat}")
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
            machine=describe_machine(configured.gpu_name),
            versions=versions(),
            phases=phases,
            token_ids=result.token_ids,
            client_sockets=tuple(sorted(sockets.client, key=_socket_order)),
            worker_sockets=tuple(sorted(sockets.worker, key=_socket_order)),
            listening_ports=tuple(sorted(sockets.listening_ports)),
            probes=tuple(probes),
            capture=status or CaptureStatus(False, unavailable, settings.interface),
        ),
        result.logits,
    )


class _Progress:
    """Says in the log which mode and repeat does what."""

    def __init__(self, mode: str, repeat: int) -> None:
        self._prefix = f"{mode}, repeat {repeat}"

    def say(self, what: str) -> None:
        log.info("%s: %s", self._prefix, what)


def _run_phases(
    measured: Phases,
    client: InferenceClient,
    settings: BenchmarkSettings,
    begin: Callable[[], Generation],
) -> Generated:
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
    result = generation.result()
    generation.release()
    return result


def _with_kernel_time(
    phases: tuple[PhaseRecord, ...], generation: Generation, decode_steps: int
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
