"""The phases of a run, each timed, with meters read and sockets noted around it."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from semgap.errors import MeasurementError
from semgap.execution.executor_contract import Executor
from semgap.execution.generation import generate
from semgap.inference.client import InferenceClient
from semgap.inference.steps import StepRecord
from semgap.measurement.run_record import PhaseRecord
from semgap.meters.meter_contract import Host, Span, meters_of
from semgap.meters.running_meters import RunningMeters
from semgap.plumbing.connections import SocketPair, shown, sockets_of, strangers
from semgap.session.opening import Session

# Quiet time around each phase, so that time stamps separate the phases' packets.
_QUIET_S = 0.02
# Only slow steps are reported one by one: logging would delay short ones.
_SLOW_STEP_S = 1.0


@dataclass
class SeenSockets:
    """All sockets of the two processes that the kernel listed during the run."""

    client: set[SocketPair] = field(default_factory=set)
    worker: set[SocketPair] = field(default_factory=set)
    listening_ports: set[int] = field(default_factory=set)

    def check_no_strangers(self, run: str) -> None:
        """Check that nobody else connected to where the two processes listen.

        Raises:
            MeasurementError: names who did.
        """
        found = strangers(self.client, self.worker, self.listening_ports)
        if found:
            raise MeasurementError(
                f"While {run} was measured, somebody else connected to its session: "
                f"{', '.join(map(shown, found))}.",
                "Keep other programs away from the session's ports and run again: only this "
                "repeat is measured again.",
            )


class Phases:
    """Times phases, reads the meters of a span, and lists the sockets of both processes.

    Args:
        say: takes what is to be told to the user.
    """

    def __init__(
        self,
        client: InferenceClient,
        session: Session,
        span: Span,
        has_gpu: bool,
        say: Callable[[str], None],
    ) -> None:
        self._client = client
        self._session = session
        self._client_meters = meters_of(Host.CLIENT, span, has_gpu)
        self._worker_meters = {span: meters_of(Host.WORKER, span, has_gpu)}
        self.has_meters = any((self._client_meters, *self._worker_meters.values()))
        self.say = say
        self.phases: tuple[PhaseRecord, ...] = ()
        self.sockets = SeenSockets()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[list[StepRecord]]:
        """Time the block as a phase; the block appends its steps to the list it is given."""
        steps: list[StepRecord] = []
        around_phase, around_passes = (self._worker_meters.get(span, ()) for span in Span)
        started = self._client.start_meters(around_phase, around_passes)
        client_meters = RunningMeters(self._client_meters, gpu_uuid="")
        self._note_sockets()
        time.sleep(_QUIET_S)
        begin_unix_ns, begin_ns = time.time_ns(), time.monotonic_ns()
        begin_s = time.perf_counter()
        yield steps
        latency_s = time.perf_counter() - begin_s
        time.sleep(_QUIET_S)
        end_unix_ns, end_ns = time.time_ns(), time.monotonic_ns()
        self._note_sockets()
        client_readings = client_meters.stop()
        read = self._client.read_meters()
        moved_bytes = sum(step.total_up_bytes + step.total_down_bytes for step in steps)
        self.say(f"{name} took {latency_s:.3f} s, tensors {moved_bytes / 1e6:,.3f} MB")
        self.phases += (
            PhaseRecord(
                name=name,
                begin_unix_ns=begin_unix_ns,
                end_unix_ns=end_unix_ns,
                begin_ns=begin_ns,
                end_ns=end_ns,
                latency_s=latency_s,
                worker_cpu_s=read.cpu_s - started.cpu_s,
                steps=tuple(steps),
                readings={**client_readings, **(read.readings or {})},
            ),
        )

    def set_up(self, executor: Executor) -> None:
        """Send what stays on the worker."""
        with self.phase("setup") as steps:
            steps.extend(executor.setup())

    def run_generation(self, executor: Executor, prompt: Sequence[int], decode_steps: int) -> None:
        """Run prefill and decode, of a generation of their own."""
        executor.reset()
        generation = generate(executor, prompt)
        with self.phase("prefill") as steps:
            steps.append(next(generation))
        with self.phase("decode") as steps:
            for number, step in enumerate(islice(generation, decode_steps), start=1):
                steps.append(step)
                if step.latency_s > _SLOW_STEP_S:
                    self.say(f"decode step {number} of {decode_steps}")

    @property
    def latencies_s(self) -> dict[str, float]:
        """The latency of each phase."""
        return {phase.name: phase.latency_s for phase in self.phases}

    def with_readings_of(self, again: "Phases") -> tuple[PhaseRecord, ...]:
        """The phases, each with the readings of its second run added."""
        more = {phase.name: phase.readings for phase in again.phases}
        return tuple(
            msgspec.structs.replace(phase, readings=phase.readings | more.get(phase.name, {}))
            for phase in self.phases
        )

    def _note_sockets(self) -> None:
        client, worker = sockets_of(os.getpid()), self._session.worker_sockets()
        self.sockets.client.update(client.connections)
        self.sockets.worker.update(worker.connections)
        self.sockets.listening_ports.update(client.listening_ports, worker.listening_ports)
