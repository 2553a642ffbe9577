"""One benchmark job: a session, its phases, and everything that is recorded of them."""

import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from msgspec import structs
from torch import Tensor

from semgap.errors import not_a_number
from semgap.inference.steps import StepRecord
from semgap.measurement.job_settings import BenchmarkSettings, CaptureSettings, WorkloadSettings
from semgap.measurement.phases import TIMED, Phases
from semgap.measurement.run_record import (
    LONG_REHEARSAL_S,
    PhaseRecord,
    Rehearsal,
    RunRecord,
    settled,
)
from semgap.measurement.subject import Opened, opened_policy
from semgap.measurement.tcpdump import (
    Capture,
    CaptureStatus,
    CaptureUnavailableError,
    capture,
    send_probe,
)
from semgap.measurement.yardstick import measure_yardstick
from semgap.meters import Span
from semgap.model.manifest import Manifest
from semgap.model.prompt import Prompt, prompt_digest
from semgap.plumbing.clocks import ClockRelation, relation_of
from semgap.plumbing.provenance import describe_host
from semgap.plumbing.tcp_sockets import SocketPair
from semgap.plumbing.versions import versions
from semgap.policy import Policy

log = logging.getLogger(__name__)

# dmon prints a line a second, so a phase that lasts so long has one that speaks of it alone.
_LASTING_S = 2.2


def run_benchmark(
    policy: Policy,
    settings: BenchmarkSettings,
    code: str,
    capture_file: Path,
    endpoint_file: Path | None,
    manifest: Manifest,
    prompt: Prompt,
    weights: Sequence[Tensor],
) -> tuple[RunRecord, np.ndarray]:
    """Measure one repeat of one mode: see ``measure``.

    Args:
        endpoint_file: describes the server, if the mode needs one.
    """
    opened = partial(
        opened_policy,
        policy=policy,
        settings=settings,
        endpoint_file=endpoint_file,
        manifest=manifest,
        weights=weights,
    )
    return measure(opened, policy, settings, code, capture_file, manifest, prompt)


def measure(
    opened: Opened,
    policy: Policy,
    settings: BenchmarkSettings,
    code: str,
    capture_file: Path,
    manifest: Manifest,
    prompt: Prompt,
) -> tuple[RunRecord, np.ndarray]:
    """Measure one repeat of what is opened.

    Args:
        code: fingerprint of the job's code, for the record.
        capture_file: is written.

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
    name = f"{policy.mode}, repeat {settings.repeat}"
    say = partial(log.info, "%s: %s", name)
    with _capture(settings.capture, capture_file) as (running, unavailable), opened(say) as subject:
        session, executor = subject.session, subject.executor
        gpu = subject.gpu_uuid, subject.gpu_name
        worker_host = session.describe_host and session.describe_host(*gpu)
        host = describe_host(code, *(("", "") if worker_host else gpu))
        probes = [send_probe(settings.capture.interface_address)]
        phases = partial(Phases, subject.worker, session, has_gpu=bool(subject.gpu_uuid))

        timed = phases(TIMED, say=say)
        timed.set_up(executor)
        rehearsed = partial(log.info, "%s, rehearsal: %s", name)
        # Each turns the prompt by a token: no content of what is timed was ever there before.
        turned = deque(prompt.token_ids)

        def rehearsal() -> Rehearsal:
            turned.rotate()
            run = phases(TIMED, say=rehearsed)
            run.run_generation(executor, turned, workload.decode_steps, LONG_REHEARSAL_S)
            if np.isnan(executor.answer().logits).any():
                raise not_a_number(manifest.dtype)
            return Rehearsal(run.latencies_s, len(run.phases[-1].steps))

        rehearsals = rehearse(rehearsal, workload)
        timed.run_generation(executor, prompt.token_ids, workload.decode_steps)
        answer = executor.answer()
        probes.append(send_probe(settings.capture.interface_address))
        yardstick = measure_yardstick(settings.capture.interface_address)
        # What lasts needs no repetition: one run serves all meters that are left.
        at_least_s = min(workload.back_to_back_s, _LASTING_S)
        lasts = at_least_s > 0 and timed.lasted(at_least_s)
        slowed = partial(log.info, "%s, again, under meters that slow it: %s", name)
        again = phases((Span.PASS, Span.BACK_TO_BACK) if lasts else (Span.PASS,), say=slowed)
        if again.has_meters:
            again.run_generation(executor, prompt.token_ids, workload.decode_steps)
        repeated = partial(log.info, "%s, back to back: %s", name)
        back_to_back = phases((Span.BACK_TO_BACK,), say=repeated)
        if back_to_back.has_meters and workload.back_to_back_s and not lasts:
            back_to_back.run_back_to_back(
                executor, prompt.token_ids, workload.decode_steps, workload.back_to_back_s
            )
        # Large messages leave the worker's allocator another one than local's: after all passes.
        link_seen = subject.measure_link and subject.measure_link()
        clocks = None
        if subject.offset_before is not None and subject.measure_offset is not None:
            clocks = relation_of(subject.offset_before, subject.measure_offset())
        sockets = timed.sockets
        sockets.check_no_strangers(name)
        if running is not None:
            running.stop()
    ended_unix_ns = time.time_ns()
    status = running.status if running is not None else None
    record = RunRecord(
        session_id=secrets.token_hex(16),
        mode=policy.mode,
        settings=settings,
        policy=policy,
        transport=session.transport,
        compute_threads=settings.worker.threads,
        started_unix_ns=started_unix_ns,
        ended_unix_ns=ended_unix_ns,
        model_fingerprint=manifest.fingerprint,
        prompt_tokens=len(prompt.token_ids),
        prompt_sha256=prompt_digest(prompt),
        machine=host.machine,
        versions=versions(),
        provenance=host.provenance,
        worker_host=worker_host,
        rehearsals=rehearsals,
        phases=without_drift(timed.with_readings_of(again, back_to_back), clocks),
        clocks=clocks,
        link=session.link,
        client_poll_s=session.client_poll_s,
        link_seen=link_seen,
        token_ids=answer.token_ids,
        client_sockets=_in_order(sockets.client),
        worker_sockets=_in_order(sockets.worker),
        listening_ports=tuple(sorted(sockets.listening_ports)),
        served_ports=() if session.channel else tuple(sorted(sockets.served_ports)),
        probes=tuple(probes),
        yardstick=yardstick,
        runs_again=again.has_meters or back_to_back.has_meters,
        capture=status or CaptureStatus(False, unavailable, settings.capture.interface),
    )
    return record, answer.logits


def without_drift(
    phases: Sequence[PhaseRecord], clocks: ClockRelation | None
) -> tuple[PhaseRecord, ...]:
    """The phases with the drift of the worker's clock taken out of sending and receiving."""
    if clocks is None:
        return tuple(phases)

    def corrected(step: StepRecord) -> StepRecord:
        ahead_s = clocks.drifted_s(step.begin_ns)
        return structs.replace(
            step, send_s=step.send_s - ahead_s, receive_s=step.receive_s + ahead_s
        )

    return tuple(
        structs.replace(phase, steps=tuple(map(corrected, phase.steps))) for phase in phases
    )


def rehearse(
    rehearsal: Callable[[], Rehearsal], workload: WorkloadSettings
) -> tuple[Rehearsal, ...]:
    """Rehearse until two rehearsals in a row agree, or as often as the settings allow."""
    rehearsals: tuple[Rehearsal, ...] = ()
    while len(rehearsals) < workload.rehearsals_at_most and not settled(rehearsals, workload):
        rehearsals += (rehearsal(),)
    return rehearsals


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
            # The doctor said so before, and the table will: no need to say it in each job.
            log.info("%s Bytes are counted by the transport instead.", error)
            file.touch()
            yield None, error.cause
            return
        yield running, ""


def _in_order(pairs: Iterable[SocketPair]) -> tuple[SocketPair, ...]:
    return tuple(sorted(pairs, key=msgspec.structs.astuple))
