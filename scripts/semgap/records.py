"""The typed records that pass between rules as files, and how they are read and written."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TypeVar

import msgspec

from semgap.errors import NoSpaceError, SemgapError
from semgap.policy import Policy, TensorClass
from semgap.settings import BenchmarkSettings, ServerSettings

Record = TypeVar("Record")

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class WeightFile(msgspec.Struct, frozen=True):
    """One file of the stored weights."""

    name: str
    size_bytes: int
    sha256: str


class WeightTensor(msgspec.Struct, frozen=True):
    """One tensor of the state dict, in the order in which weights are sent."""

    name: str
    shape: tuple[int, ...]
    size_bytes: int


class Manifest(msgspec.Struct, frozen=True):
    """What the experiment's model is.

    Attributes:
        name: the model's name in the table.
        origin: where its weights come from, as the table says it.
        pretrained: whether the weights are the pretrained ones.
        dtype: name of the torch dtype of weights, KV cache and logits.
        parameters: number of parameters, tied ones counted once.
        weights_bytes: bytes of the state dict (parameters and persistent buffers).
        kv_cache_tensors: number of tensors that the KV cache consists of.
        kv_cache_bytes_per_token: bytes by which one position extends the KV cache.
        logits_bytes_per_position: bytes of one position's logits.
        vocabulary_size: number of logits a position.
        max_positions: the model's context length in tokens.
        weights_id: name of the folder of its weights; another for each source, seed and dtype.
        fingerprint: SHA-256 over configuration, dtype and weight files.
        model_config: the transformers configuration as JSON.
    """

    name: str
    origin: str
    pretrained: bool
    dtype: str
    parameters: int
    weights_bytes: int
    kv_cache_tensors: int
    kv_cache_bytes_per_token: int
    logits_bytes_per_position: int
    vocabulary_size: int
    max_positions: int
    weights_id: str
    fingerprint: str
    model_config: str
    tensors: tuple[WeightTensor, ...]
    files: tuple[WeightFile, ...]


class Prompt(msgspec.Struct, frozen=True):
    """The token ids that every mode starts from, and the seed that chose them."""

    token_ids: tuple[int, ...]
    seed: int


class Versions(msgspec.Struct, frozen=True):
    """Versions of what computes and what carries."""

    python: str
    torch: str
    transformers: str


class ServerEndpoint(msgspec.Struct, frozen=True):
    """Where sessions are opened, and with what settings the server runs them.

    Only settings: nothing in here changes from one start of the server to the next.

    Attributes:
        model_type: transformers' name of the architecture.
        code: fingerprint of the server's code.
    """

    settings: ServerSettings
    model_type: str
    model_fingerprint: str
    code: str
    versions: Versions


class SocketPair(msgspec.Struct, frozen=True):
    """The two ends of one TCP connection, as a process sees it."""

    local_ip: str
    local_port: int
    remote_ip: str
    remote_port: int


class ControlTraffic(msgspec.Struct, frozen=True):
    """Bytes sent on purpose over the captured interface, to prove that the capture sees them."""

    socket: SocketPair
    payload_bytes: int


class ProcessSockets(msgspec.Struct, frozen=True):
    """The TCP sockets of a process.

    Attributes:
        connections: those that have a peer.
        listening_ports: where it waits for others to connect.
    """

    connections: tuple[SocketPair, ...]
    listening_ports: tuple[int, ...]


class CaptureStatus(msgspec.Struct, frozen=True):
    """Whether and how a run was captured.

    Attributes:
        captured: whether tcpdump ran; if not, ``reason`` says why.
        interface: the captured interface.
        packets: packets that tcpdump wrote.
        dropped_packets: packets that the kernel dropped before tcpdump saw them.
    """

    captured: bool
    reason: str
    interface: str
    packets: int = 0
    dropped_packets: int = 0


class StepRecord(msgspec.Struct, frozen=True):
    """One request and its reply, timed by the client.

    Attributes:
        latency_s: from handing the request to the transport to having the reply; the sum of the
            following five, which tile it.
        serialise_s: until the client's transport had the request in the form in which it travels.
        send_s: until the worker's transport had the whole request.
        queue_s: until the worker's handler began.
        worker_s: the worker's handler, of which ``compute_s`` is the forward pass.
        receive_s: from the handler's end until the client had the reply.
        up_bytes, down_bytes: content of the tensors sent and received, by semantic class.
        up_tensors, down_tensors: number of tensors sent and received.
    """

    latency_s: float
    serialise_s: float
    send_s: float
    queue_s: float
    worker_s: float
    compute_s: float
    receive_s: float
    up_bytes: dict[TensorClass, int]
    down_bytes: dict[TensorClass, int]
    up_tensors: int
    down_tensors: int


class PhaseRecord(msgspec.Struct, frozen=True):
    """One phase of a run.

    Attributes:
        name: setup, warmup, prefill or decode.
        begin_unix_ns, end_unix_ns: the wall clock around the phase and a quiet margin, within
            which the capture's packets belong to it.
        begin_ns, end_ns: the monotonic clock at the same instants.
        latency_s: ``time.perf_counter`` around all steps of the phase.
        worker_cpu_s: processor time of the worker process during the phase.
        kernel_s: time in which GPU kernels ran when the phase was run again under the profiler.
        gpu_samples_percent: NVML's utilisation of the device, sampled during the phase.
    """

    name: str
    begin_unix_ns: int
    end_unix_ns: int
    begin_ns: int
    end_ns: int
    latency_s: float
    worker_cpu_s: float
    steps: tuple[StepRecord, ...]
    kernel_s: float | None = None
    gpu_samples_percent: tuple[float, ...] = ()


class Host(msgspec.Struct, frozen=True):
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
        control: what was sent on purpose before the first and after the last phase.
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
    host: Host
    versions: Versions
    phases: tuple[PhaseRecord, ...]
    token_ids: tuple[int, ...]
    client_sockets: tuple[SocketPair, ...]
    worker_sockets: tuple[SocketPair, ...]
    listening_ports: tuple[int, ...]
    control: tuple[ControlTraffic, ...]
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


def write_record(path: Path, record: msgspec.Struct) -> None:
    """Write a record as indented JSON, whole or not at all."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file such that a crash leaves the old one or the new one, never a part.

    Raises:
        NoSpaceError: there is no room for it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".partial-", delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        if error.errno in NO_SPACE:
            raise no_space_in(path.parent) from error
        raise
    umask = os.umask(0)
    os.umask(umask)
    Path(file.name).chmod(0o666 & ~umask)
    Path(file.name).replace(path)


def no_space_in(folder: Path) -> NoSpaceError:
    """The error for a folder without room, for the caller to raise."""
    return NoSpaceError(
        f"No space left in '{folder}'.",
        "Make room there and run again: what was finished is kept.",
    )


def digest_of(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        SemgapError: there is no such file.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise _missing(path) from None


def read_record(path: Path, record_type: type[Record]) -> Record:
    """Read a record and check it against its type.

    Raises:
        SemgapError: the file is missing, is no JSON, or does not fit the type.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=record_type)
    except FileNotFoundError:
        raise _missing(path) from None
    except msgspec.DecodeError as error:
        raise SemgapError(
            f"'{path}' is not a valid {record_type.__name__}: {error}.",
            "Delete the file; the next run makes it again.",
        ) from error


def _missing(path: Path) -> SemgapError:
    return SemgapError(f"'{path}' does not exist.", "Run the Snakemake rule that makes it first.")
