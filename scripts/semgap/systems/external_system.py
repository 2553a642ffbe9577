"""Somebody else's system as the subject of a benchmark job: its two programs, asked by a line."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from semgap import protocol
from semgap.errors import ExternalSystemError
from semgap.execution import Answer, Executor
from semgap.inference.steps import StepRecord
from semgap.measurement.subject import Subject
from semgap.meters import RunningMeters
from semgap.model.device import open_device
from semgap.model.manifest import Manifest
from semgap.plumbing.limits import threads_or_all_cores
from semgap.plumbing.tcp_sockets import (
    ProcessSockets,
    TcpCounters,
    kernel_counts_bytes,
    payload_between,
    sockets_of,
    tcp_counters_of,
)
from semgap.plumbing.usage import Usage, usage_of
from semgap.server import control
from semgap.session import Session
from semgap.session.server import FarSide, far_side
from semgap.systems import line_protocol
from semgap.systems.line_protocol import Adapter, started_adapter
from semgap.systems.system_settings import SystemJob

# Room for decode steps that are run again and again while a meter watches.
_MORE_POSITIONS = 256


@contextlib.contextmanager
def opened_system(
    say: Callable[[str], None],
    job: SystemJob,
    endpoint_file: Path | None,
    manifest: Manifest,
    weights_folder: Path,
    prompt_tokens: int,
) -> Iterator[Subject]:
    """Start a system's programs, the server first.

    Args:
        endpoint_file: describes the server of this experiment, which runs the system's.

    Raises:
        ExternalSystemError: one cannot be started, or ended.
        ServerError: this experiment's server cannot be reached, or the system's not be started.
    """
    system, worker = job.system, job.benchmark.worker
    model = str(weights_folder.resolve())
    threads = threads_or_all_cores(worker.compute_threads)
    values = {"model": model, "threads": threads}
    with contextlib.ExitStack() as stack:
        far, port = None, None
        if system.server is not None:
            far = stack.enter_context(far_side(endpoint_file))
            port = far.open(control.RunProgram(_filled(system.server, values)))
        say("the system's program starts")
        adapter = stack.enter_context(
            started_adapter(_filled(system.command, values), system.reply_timeout_s)
        )
        described = adapter.ask(line_protocol.Describe(), line_protocol.Described)
        check_version(described)
        device = open_device(worker.device)
        setup = line_protocol.Setup(
            model,
            far.endpoint.settings.host if far else None,
            port,
            device.torch_device.type,
            threads,
            prompt_tokens + job.benchmark.workload.decode_steps + _MORE_POSITIONS,
        )
        session = Session(
            None,
            described.name,
            far.sockets if far else lambda: ProcessSockets((), ()),
            one_clock=True,
            link=far.link if far else None,
            client_sockets=lambda: sockets_of(adapter.pid),
        )
        meters = ProgramMeters(adapter.pid, far, device.gpu_uuid)
        executor = LineExecutor(adapter, setup, manifest.vocabulary_size)
        try:
            yield Subject(session, meters, executor, device.gpu_uuid, device.gpu_name)
            adapter.ask(line_protocol.Close(), line_protocol.Ready)
        except ExternalSystemError as error:
            fate = far.end() if far else None
            if fate is None:
                raise
            cause = f"{error.cause} Its server {fate.rstrip('.')}."
            raise ExternalSystemError(cause, error.remedy) from error


def check_version(described: line_protocol.Described) -> None:
    """Raise an ExternalSystemError unless a program speaks this version of the protocol."""
    if described.protocol != line_protocol.PROTOCOL:
        raise ExternalSystemError(
            f"{described.name} speaks version {described.protocol} of the line protocol.",
            f"This is version {line_protocol.PROTOCOL}: docs/systems.md.",
        )


def _filled(command: Sequence[str], values: Mapping[str, object]) -> tuple[str, ...]:
    """A command with what is known here in place of its names in braces."""
    words = list(command)
    for name, value in values.items():
        words = [word.replace(f"{{{name}}}", str(value)) for word in words]
    return tuple(words)


class LineExecutor(Executor):
    """A generation's steps, each asked of the system's program."""

    def __init__(self, adapter: Adapter, setup: line_protocol.Setup, vocabulary_size: int) -> None:
        self._adapter = adapter
        self._setup = setup
        self._vocabulary_size = vocabulary_size
        self._prompt: tuple[int, ...] = ()
        self._token_ids: list[int] = []
        self._marked_tokens = 0

    def setup(self) -> list[StepRecord]:
        begin_ns = time.monotonic_ns()
        self._adapter.ask(self._setup, line_protocol.Ready)
        return [_timed(begin_ns)]

    def step(self, tokens: Tensor) -> tuple[int, StepRecord]:
        ids = tuple(tokens[0].tolist())
        request: line_protocol.Request
        request = line_protocol.Decode(*ids) if self._token_ids else line_protocol.Prefill(ids)
        begin_ns = time.monotonic_ns()
        token_id = self._adapter.ask(request, line_protocol.Token).token
        step = _timed(begin_ns)
        self._prompt = self._prompt if self._token_ids else ids
        self._token_ids.append(token_id)
        return token_id, step

    def answer(self) -> Answer:
        logits = self._adapter.ask(line_protocol.Logits(), line_protocol.GivenLogits).logits
        shape = len(self._token_ids), self._vocabulary_size
        if [len(row) for row in logits] != [shape[1]] * shape[0]:
            raise ExternalSystemError(
                f"The system's program gave {len(logits)} rows of logits, the first of "
                f"{len(logits[0]) if logits else 0}, where {shape[0]} of {shape[1]} were asked.",
                "It gives the last position's for the prefill and for each decode step.",
            )
        return Answer(tuple(self._token_ids), np.array(logits, np.float32).reshape(shape))

    def reset(self) -> None:
        self._token_ids = []

    def mark(self) -> None:
        self._marked_tokens = len(self._token_ids)

    def rewind(self) -> int:
        """Go on from where the generation is, while there is room: a system need not go back."""
        room = self._setup.positions - len(self._prompt) - len(self._token_ids)
        if room < _MORE_POSITIONS // 2:
            self._token_ids = []
            self.step(torch.tensor([self._prompt]))
        return self._token_ids[-1]


def _timed(begin_ns: int) -> StepRecord:
    """A step that ends now, of which nothing but the latency is known."""
    return StepRecord(
        latency_s=(time.monotonic_ns() - begin_ns) / 1e9,
        placement_s=0.0,
        serialise_s=0.0,
        send_s=0.0,
        host_to_device_s=0.0,
        queue_s=0.0,
        worker_s=0.0,
        compute_s=0.0,
        device_to_host_s=0.0,
        receive_s=0.0,
        up_bytes={},
        down_bytes={},
        up_tensors=0,
        down_tensors=0,
        begin_ns=begin_ns,
    )


class ProgramMeters:
    """What the system's programs use in a phase, as the kernel and NVML see them.

    Args:
        far: where the server's program runs; None where there is none.
    """

    def __init__(self, pid: int, far: FarSide | None, gpu_uuid: str) -> None:
        self._pid = pid
        self._far = far
        self._gpu_uuid = gpu_uuid

    def start_meters(
        self, around_phase: Sequence[str], _around_passes: Sequence[str]
    ) -> protocol.Done:
        self._before = usage_of(self._pid)
        self._counters = self._tcp_counters()
        done = protocol.Done(0, 0, 0, 0, 0.0, self._server_usage().cpu_s)
        self._running = RunningMeters(around_phase, self._gpu_uuid)
        return done

    def read_meters(self) -> protocol.MetersRead:
        readings = self._running.stop()
        used, server = usage_of(self._pid), self._server_usage()
        readings["programs"] = {
            "program_cpu_busy_s": used.cpu_s - self._before.cpu_s,
            "program_held_bytes": used.held_bytes,
            "server_held_bytes": server.held_bytes if self._far else 0,
        }
        if kernel_counts_bytes() and (counters := self._tcp_counters()) is not None:
            moved = payload_between(self._counters or {}, counters)
            readings["programs"] |= {
                "program_up_bytes": moved.acked_bytes,
                "program_down_bytes": moved.received_bytes,
            }
        return protocol.MetersRead(0, 0, 0, 0, 0.0, server.cpu_s, readings)

    def _server_usage(self) -> Usage:
        return self._far.usage() if self._far else usage_of(self._pid)

    def _tcp_counters(self) -> Mapping[int, TcpCounters] | None:
        """None where this process may not look into the other's sockets."""
        try:
            return tcp_counters_of(self._pid)
        except OSError:
            return None
