"""What one benchmark job measured: one repeat of one mode."""

import math

import msgspec

from semgap.inference.steps import LinkSeen, StepRecord
from semgap.measurement.job_settings import BenchmarkSettings, WorkloadSettings
from semgap.measurement.tcpdump import CaptureStatus, ProbeTraffic
from semgap.measurement.yardstick import Yardstick
from semgap.plumbing.clocks import ClockRelation
from semgap.plumbing.provenance import Host, Machine, Provenance
from semgap.plumbing.tcp_sockets import SocketPair
from semgap.plumbing.versions import Versions
from semgap.policy import Policy
from semgap.protocol import Computed
from semgap.server.endpoint import LinkShape

LONG_REHEARSAL_S = 5.0


class PhaseRecord(msgspec.Struct, frozen=True):
    """One phase of a run."""

    name: str  # setup, prefill or decode
    # begin_unix_ns, end_unix_ns: the wall clock around the phase and a quiet margin, within which
    # the capture's packets belong to it
    begin_unix_ns: int
    end_unix_ns: int
    # begin_ns, end_ns: the monotonic clock at the same instants
    begin_ns: int
    end_ns: int
    latency_s: float  # the monotonic clock around all steps of the phase
    worker_cpu_s: float  # processor time of the worker process during the phase
    steps: tuple[StepRecord, ...]
    # Readings by meter. Meters that slow what they measure are read in a second run of the phase.
    readings: dict[str, dict[str, float]]
    # how far apart the two clocks can have been read; 0 in records without it
    clock_bound_ns: int = 0
    # how its passes were computed; more than one way is an error, none is a record without it
    computed: tuple[Computed, ...] = ()

    @property
    def requests(self) -> int:
        """How many requests its steps sent."""
        return sum(step.requests for step in self.steps)

    @property
    def round_trips(self) -> int:
        """How many of their replies were waited for."""
        return sum(step.round_trips for step in self.steps)


class Rehearsal(msgspec.Struct, frozen=True):
    """One rehearsal of all timed phases, without the decode steps for which it took too long."""

    latencies_s: dict[str, float]  # by phase
    decode_steps: int | None = None  # None in records without it: all


def settled(rehearsals: tuple[Rehearsal, ...], workload: WorkloadSettings) -> bool:
    """Whether each phase took about as long in the last rehearsal as in the one before.

    One that took long has settled by itself, also without its last decode steps: what a first
    pass lacks, memory that was touched and sockets that have grown, the second has.
    """
    if rehearsals and math.fsum(rehearsals[-1].latencies_s.values()) >= LONG_REHEARSAL_S:
        return True
    if len(rehearsals) < 2:
        return False
    before, last = (rehearsal.latencies_s for rehearsal in rehearsals[-2:])
    return all(
        max(before[name], last[name])
        <= workload.rehearsals_agree_ratio * min(before[name], last[name])
        for name in last
    )


class RunRecord(msgspec.Struct, frozen=True):
    """Everything that one benchmark job measured: one repeat of one mode."""

    session_id: str  # random, new for each job
    mode: str
    settings: BenchmarkSettings  # what the job was told to do
    policy: Policy
    transport: str
    compute_threads: int
    started_unix_ns: int
    model_fingerprint: str
    prompt_tokens: int
    prompt_sha256: str  # digest of the prompt's token ids
    machine: Machine  # of this process
    versions: Versions
    provenance: Provenance  # of this process
    rehearsals: tuple[Rehearsal, ...]  # between setup and prefill; not timed as a phase
    phases: tuple[PhaseRecord, ...]
    token_ids: tuple[int, ...]  # the greedy token of the prefill and of each decode step
    # client_sockets, worker_sockets: every TCP connection seen of the two processes
    client_sockets: tuple[SocketPair, ...]
    worker_sockets: tuple[SocketPair, ...]
    listening_ports: tuple[int, ...]  # where one of the two waited for connections
    # what was sent on purpose before the first and after the last phase
    probes: tuple[ProbeTraffic, ...]
    capture: CaptureStatus
    # where any connection is the session's, however short: a server's that is somebody else's
    served_ports: tuple[int, ...] = ()
    ended_unix_ns: int = 0  # when nothing more was measured; 0 in records without it
    yardstick: Yardstick | None = None  # None in records without it
    # whether the phases were run again after they were timed, for meters that slow what they watch
    runs_again: bool = False
    worker_host: Host | None = None  # the machine that computed, where it is another one
    clocks: ClockRelation | None = None  # None where client and worker read one clock
    link: LinkShape | None = None  # what was made between client and worker, if anything
    client_poll_s: float = 0.0  # server.client_poll_s; 0 too in records without it
    link_seen: LinkSeen | None = None  # None where nothing crosses, and in records without it
    # logits_sha256, capture_sha256: digests of the files that were written with this record
    logits_sha256: str = ""
    capture_sha256: str = ""

    @property
    def clock_bound_s(self) -> float:
        """How far a span between the two processes may be off (s); its counterpart is, as far."""
        return self.clocks.bound_ns / 1e9 if self.clocks else 0.0

    @property
    def computed_on(self) -> Host:
        """The machine that computed."""
        return self.worker_host or Host(self.machine, self.provenance)

    @property
    def repeat(self) -> int:
        """Which repeat of its mode this is, from 1."""
        return self.settings.repeat

    @property
    def name(self) -> str:
        """The run, as messages name it."""
        return f"{self.mode}, repeat {self.repeat}"

    @property
    def boot_s(self) -> float:
        """When the monotonic clock began, by the wall clock (s); it stands still in a sleep."""
        first = self.phases[0]
        return (first.begin_unix_ns - first.begin_ns) / 1e9

    @property
    def begin_s(self) -> float:
        """When the run began, by the monotonic clock (s)."""
        return self.started_unix_ns / 1e9 - self.boot_s

    @property
    def end_s(self) -> float:
        """When the run ended, by the monotonic clock (s)."""
        last_s = self.phases[-1].end_ns / 1e9
        return max(last_s, self.ended_unix_ns / 1e9 - self.boot_s)
