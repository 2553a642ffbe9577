"""The phases of a run, each timed, with meters read and sockets noted around it."""

import contextlib
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from semgap.errors import MeasurementError
from semgap.execution import Executor, generate
from semgap.inference.steps import StepRecord
from semgap.measurement.run_record import PhaseRecord
from semgap.measurement.subject import MeteredWorker
from semgap.meters import Host, RunningMeters, Span, meters_of
from semgap.plumbing.clocks import read_clocks
from semgap.plumbing.tcp_sockets import SocketPair, shown, strangers
from semgap.session import Session

# Quiet time around each phase, so that time stamps separate the phases' packets.
_QUIET_S = 0.02
# What is read while phases are timed.
TIMED = (Span.PHASE, Span.BESIDE)
# Only slow steps are reported one by one: logging would delay short ones.
_SLOW_STEP_S = 1.0
_SETUP = "setup"


@dataclass
class SeenSockets:
    """All sockets of the two processes that the kernel listed during the run."""

    client: set[SocketPair] = field(default_factory=set)
    worker: set[SocketPair] = field(default_factory=set)
    listening_ports: set[int] = field(default_factory=set)
    served_ports: set[int] = field(default_factory=set)  # of those, the worker's

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
    """Times phases, reads the meters of some spans, and lists the sockets of both processes.

    Args:
        spans: those whose meters are read.
        say: takes what is to be told to the user.
    """

    def __init__(
        self,
        worker: MeteredWorker,
        session: Session,
        spans: Collection[Span],
        has_gpu: bool,
        say: Callable[[str], None],
    ) -> None:
        def meters(host: Host, *among: Span) -> tuple[str, ...]:
            asked = [span for span in among if span in spans]
            return tuple(name for span in asked for name in meters_of(host, span, has_gpu))

        self._worker = worker
        self._session = session
        self.has_meters = any(meters(host, *Span) for host in Host)
        self._beside = meters(Host.CLIENT, Span.BESIDE)
        self._client_meters = meters(Host.CLIENT, Span.PHASE, Span.BACK_TO_BACK)
        self._around_phase = meters(Host.WORKER, Span.PHASE, Span.BACK_TO_BACK)
        self._around_passes = meters(Host.WORKER, Span.PASS)
        self.say = say
        self.spans = spans
        self.phases: tuple[PhaseRecord, ...] = ()
        self.sockets = SeenSockets()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[list[StepRecord]]:
        """Time the block as a phase; the block appends its steps to the list it is given."""
        steps: list[StepRecord] = []
        beside = RunningMeters(self._beside, gpu_uuid="")
        started = self._worker.start_meters(self._around_phase, self._around_passes)
        self._note_sockets()
        time.sleep(_QUIET_S)
        client_meters = RunningMeters(self._client_meters, gpu_uuid="")
        begin = read_clocks()
        begin_ns = time.monotonic_ns()
        yield steps
        latency_s = (time.monotonic_ns() - begin_ns) / 1e9
        time.sleep(_QUIET_S)
        end = read_clocks()
        client_readings = client_meters.stop()
        self._note_sockets()
        read = self._worker.read_meters()
        beside_readings = beside.stop()
        moved_bytes = sum(step.total_up_bytes + step.total_down_bytes for step in steps)
        self.say(f"{name} took {latency_s:.3f} s, tensors {moved_bytes / 1e6:,.3f} MB")
        self.phases += (
            PhaseRecord(
                name=name,
                begin_unix_ns=begin.unix_ns_at(begin_ns),
                end_unix_ns=end.unix_ns,
                begin_ns=begin_ns,
                end_ns=end.monotonic_ns,
                latency_s=latency_s,
                worker_cpu_s=read.cpu_s - started.cpu_s,
                steps=tuple(steps),
                readings={**beside_readings, **client_readings, **(read.readings or {})},
                clock_bound_ns=max(begin.bound_ns, end.bound_ns),
                computed=read.computed,
            ),
        )

    def set_up(self, executor: Executor) -> None:
        """Send what stays on the worker."""
        with self.phase(_SETUP) as steps:
            steps.extend(executor.setup())

    def run_generation(
        self,
        executor: Executor,
        prompt: Sequence[int],
        decode_steps: int,
        enough_s: float = math.inf,
    ) -> None:
        """Run prefill and decode, of a generation of their own.

        Args:
            enough_s: the step in which both together have taken so long is the last.
        """
        executor.reset()
        generation = generate(executor, prompt)
        with self.phase("prefill") as steps:
            steps.append(next(generation))
        left_s = enough_s - self.latencies_s["prefill"]
        with self.phase("decode") as steps:
            for number, step in enumerate(islice(generation, decode_steps), start=1):
                steps.append(step)
                if step.latency_s > _SLOW_STEP_S:
                    self.say(f"decode step {number} of {decode_steps}")
                left_s -= step.latency_s
                if left_s <= 0:
                    break

    def run_back_to_back(
        self, executor: Executor, prompt: Sequence[int], decode_steps: int, at_least_s: float
    ) -> None:
        """Run the prefill again and again for so long, then the decode steps from after it."""
        with self.phase("prefill") as steps:
            for _ in _until(at_least_s):
                executor.reset()
                steps.append(next(generate(executor, prompt)))
        executor.mark()
        with self.phase("decode") as steps:
            for _ in _until(at_least_s):
                token_id = executor.rewind()
                steps.extend(islice(generate(executor, [token_id]), decode_steps))

    @property
    def latencies_s(self) -> dict[str, float]:
        """The latency of each phase."""
        return {phase.name: phase.latency_s for phase in self.phases}

    def lasted(self, at_least_s: float) -> bool:
        """Whether each phase that generates did."""
        return all(
            latency_s >= at_least_s
            for name, latency_s in self.latencies_s.items()
            if name != _SETUP
        )

    def with_readings_of(self, *others: "Phases") -> tuple[PhaseRecord, ...]:
        """The phases, each with the readings of its other runs added."""
        phases = {phase.name: phase for phase in self.phases}
        for spans, other in ((run.spans, phase) for run in others for phase in run.phases):
            timed = phases[other.name]
            # What both runs have was asked of the timed one.
            readings = other.readings | timed.readings
            if Span.BACK_TO_BACK in spans:
                runs = len(other.steps) // len(timed.steps)
                readings["back_to_back"] = {
                    "back_to_back_runs": runs,
                    "back_to_back_latency_s": other.latency_s / runs,
                }
            phases[other.name] = msgspec.structs.replace(timed, readings=readings)
        return tuple(phases.values())

    def _note_sockets(self) -> None:
        client, worker = self._session.client_sockets(), self._session.worker_sockets()
        self.sockets.client.update(client.connections)
        self.sockets.worker.update(worker.connections)
        self.sockets.listening_ports.update(client.listening_ports, worker.listening_ports)
        self.sockets.served_ports.update(worker.listening_ports)


def _until(at_least_s: float) -> Iterator[None]:
    """Iterate at least once, and until so much time has passed."""
    begin_s = time.monotonic()
    yield
    while time.monotonic() - begin_s < at_least_s:
        yield
