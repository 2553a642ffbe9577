"""Timing phases, reading meters, and noting what the kernel says of both processes around them."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from semgap.errors import MeasurementError
from semgap.inference.client import InferenceClient
from semgap.inference.steps import StepRecord
from semgap.measurement.run_record import PhaseRecord
from semgap.meters.running_meters import RunningMeters
from semgap.plumbing.connections import SocketPair, shown, sockets_of, strangers
from semgap.session.opening import Session

# Around each phase nothing is sent for this long, so that time stamps tell the phases apart.
_QUIET_S = 0.02


@dataclass
class SeenSockets:
    """What the kernel said of the two processes' sockets, whenever it was asked."""

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


@dataclass(frozen=True)
class ChosenMeters:
    """Names of the meters that are read around each phase, by where and around what."""

    client: tuple[str, ...] = ()
    worker: tuple[str, ...] = ()
    worker_passes: tuple[str, ...] = ()


class Phases:
    """Times phases, reads meters, and notes what the kernel says about sockets around them."""

    def __init__(
        self,
        client: InferenceClient,
        session: Session,
        meters: ChosenMeters,
        say: Callable[[str], None],
    ) -> None:
        self._client = client
        self._session = session
        self.meters = meters
        self.say = say
        self.phases: tuple[PhaseRecord, ...] = ()
        self.sockets = SeenSockets()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[list[StepRecord]]:
        """Time the block as a phase; the block appends its steps to the list it is given."""
        steps: list[StepRecord] = []
        started = self._client.start_meters(self.meters.worker, self.meters.worker_passes)
        client_meters = RunningMeters(self.meters.client, gpu_uuid="")
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

    def _note_sockets(self) -> None:
        client, worker = sockets_of(os.getpid()), self._session.worker_sockets()
        self.sockets.client.update(client.connections)
        self.sockets.worker.update(worker.connections)
        self.sockets.listening_ports.update(client.listening_ports, worker.listening_ports)
