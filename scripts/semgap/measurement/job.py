"""One benchmark job: a session, its phases, and everything that is recorded of them."""

import contextlib
import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from semgap.execution.executor_contract import GenerationLimits, load_executor
from semgap.inference.client import InferenceClient
from semgap.measurement.job_settings import BenchmarkSettings, CaptureSettings
from semgap.measurement.machine import describe_machine
from semgap.measurement.phases import Phases
from semgap.measurement.probe import send_probe
from semgap.measurement.run_phases import (
    run_generation,
    set_up,
    slowing_meters,
    timed_meters,
    with_readings,
)
from semgap.measurement.run_record import RunRecord
from semgap.measurement.tcpdump import Capture, CaptureStatus, CaptureUnavailableError, capture
from semgap.model.manifest import Manifest
from semgap.model.prompt import Prompt, prompt_digest
from semgap.plumbing.connections import SocketPair
from semgap.plumbing.processes import threads_or_all_cores
from semgap.plumbing.versions import versions
from semgap.policy import Policy
from semgap.session.opening import load_session_module

log = logging.getLogger(__name__)


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
    workload = settings.workload
    with (
        _capture(settings.capture, files.capture) as (running, unavailable),
        load_session_module(policy.worker).open_session(settings.worker, files.endpoint) as session,
    ):
        client = InferenceClient(session.channel, policy, manifest, weights)
        say = _Progress(policy.mode, settings.repeat).say
        say("the worker builds the model")
        configured = client.configure(settings.worker.engine)
        executor = load_executor(policy.executor).open_executor(
            client,
            GenerationLimits(
                vocabulary_size=manifest.vocabulary_size,
                logits_to_keep=workload.logits_to_keep,
                max_steps=1 + max(workload.decode_steps, workload.warmup_decode_steps),
            ),
        )
        probes = [send_probe(settings.capture.interface_address)]
        timed = Phases(client, session, timed_meters(has_gpu=bool(configured.gpu_uuid)), say)
        set_up(timed, executor, prompt.token_ids, workload.warmup_decode_steps)
        run_generation(timed, executor, prompt.token_ids, workload.decode_steps)
        answer = executor.answer()
        executor.reset()
        probes.append(send_probe(settings.capture.interface_address))
        again = Phases(
            client,
            session,
            slowing_meters(has_gpu=bool(configured.gpu_uuid)),
            lambda what: say(f"again, under meters that slow it: {what}"),
        )
        if again.meters.worker_passes:
            run_generation(again, executor, prompt.token_ids, workload.decode_steps)
            executor.reset()
        if running is not None:
            running.stop()
    status = running.status if running is not None else None
    sockets = timed.sockets
    sockets.check_no_strangers(f"{policy.mode}, repeat {settings.repeat}")
    return (
        RunRecord(
            session_id=secrets.token_hex(16),
            mode=policy.mode,
            settings=settings,
            policy=policy,
            transport=session.transport,
            compute_threads=threads_or_all_cores(settings.worker.compute_threads),
            started_unix_ns=started_unix_ns,
            model_fingerprint=manifest.fingerprint,
            prompt_tokens=len(prompt.token_ids),
            prompt_sha256=prompt_digest(prompt),
            machine=describe_machine(configured.gpu_name),
            versions=versions(),
            phases=with_readings(timed.phases, again.phases),
            token_ids=answer.token_ids,
            client_sockets=tuple(sorted(sockets.client, key=_socket_order)),
            worker_sockets=tuple(sorted(sockets.worker, key=_socket_order)),
            listening_ports=tuple(sorted(sockets.listening_ports)),
            probes=tuple(probes),
            capture=status or CaptureStatus(False, unavailable, settings.capture.interface),
        ),
        answer.logits,
    )


class _Progress:
    """Says in the log which mode and repeat does what."""

    def __init__(self, mode: str, repeat: int) -> None:
        self._prefix = f"{mode}, repeat {repeat}"

    def say(self, what: str) -> None:
        log.info("%s: %s", self._prefix, what)


@contextlib.contextmanager
def _capture(settings: CaptureSettings, file: Path) -> Iterator[tuple[Capture | None, str]]:
    """Capture if this machine can and the settings want it; otherwise say why not."""
    if settings.use == "off":
        file.touch()
        yield None, "capture.use is off"
        return
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(capture(settings.interface, file))
        except CaptureUnavailableError as error:
            if settings.use == "required":
                raise
            log.warning("%s Bytes are counted by the transport instead.", error)
            file.touch()
            yield None, error.cause
            return
        yield running, ""


def _socket_order(pair: SocketPair) -> tuple[str, int, str, int]:
    return pair.local_ip, pair.local_port, pair.remote_ip, pair.remote_port
