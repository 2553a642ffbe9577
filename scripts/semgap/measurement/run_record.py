"""What one benchmark job measured: one repeat of one mode."""

from __future__ import annotations

import msgspec

from semgap.inference.steps import StepRecord
from semgap.measurement.job_settings import BenchmarkSettings
from semgap.measurement.probe import ProbeTraffic
from semgap.measurement.tcpdump import CaptureStatus
from semgap.plumbing.connections import SocketPair
from semgap.plumbing.versions import Versions
from semgap.policy import Policy


class PhaseRecord(msgspec.Struct, frozen=True):
    """One phase of a run.

    Attributes:
        name: setup, warmup, prefill or decode.
        begin_unix_ns, end_unix_ns: the wall clock around the phase and a quiet margin, within
            which the capture's packets belong to it.
        begin_ns, end_ns: the monotonic clock at the same instants.
        latency_s: ``time.perf_counter`` around all steps of the phase.
        worker_cpu_s: processor time of the worker process during the phase.
        readings: what each meter read, by the meter's name; meters that slow what they watch were
            read when the phase was run again.
    """

    name: str
    begin_unix_ns: int
    end_unix_ns: int
    begin_ns: int
    end_ns: int
    latency_s: float
    worker_cpu_s: float
    steps: tuple[StepRecord, ...]
    readings: dict[str, dict[str, float]]


class Machine(msgspec.Struct, frozen=True):
    """The machine a run was made on.

    Attributes:
        memory_bytes: the machine's main memory.
        cores: processors that the run could use.
        gpu: name of the GPU that computed, empty if a CPU did.
    """

    name: str
    kernel: str
    cpu: str
    cores: int
    memory_bytes: int
    gpu: str


class RunRecord(msgspec.Struct, frozen=True):
    """Everything that one benchmark job measured: one repeat of one mode.

    Attributes:
        session_id: drawn anew for each job.
        settings: what the job was told to do.
        prompt_sha256: digest of the prompt's token ids.
        logits_sha256, capture_sha256: digests of the files that were written with this record.
        token_ids: the greedy token of the prefill and of each decode step.
        client_sockets, worker_sockets: every TCP connection seen of the two processes.
        listening_ports: where one of the two waited for connections.
        probes: what was sent on purpose before the first and after the last phase.
    """

    session_id: str
    mode: str
    settings: BenchmarkSettings
    policy: Policy
    transport: str
    compute_threads: int
    started_unix_ns: int
    model_fingerprint: str
    prompt_tokens: int
    prompt_sha256: str
    machine: Machine
    versions: Versions
    phases: tuple[PhaseRecord, ...]
    token_ids: tuple[int, ...]
    client_sockets: tuple[SocketPair, ...]
    worker_sockets: tuple[SocketPair, ...]
    listening_ports: tuple[int, ...]
    probes: tuple[ProbeTraffic, ...]
    capture: CaptureStatus
    logits_sha256: str = ""
    capture_sha256: str = ""

    @property
    def repeat(self) -> int:
        """Which repeat of its mode this is, from 1."""
        return self.settings.repeat

    @property
    def name(self) -> str:
        """The run, as messages name it."""
        return f"{self.mode}, repeat {self.repeat}"
