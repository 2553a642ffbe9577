"""Run records for tests of the analysis, with numbers that are easy to follow."""

from semgap.inference.steps import StepRecord
from semgap.inference.worker_settings import WorkerSettings
from semgap.measurement.job_settings import BenchmarkSettings, CaptureSettings, WorkloadSettings
from semgap.measurement.run_record import PhaseRecord, Rehearsal, RunRecord
from semgap.measurement.tcpdump import CaptureStatus, ProbeTraffic
from semgap.model.prompt import Prompt, prompt_digest
from semgap.modes import POLICIES, policy_of
from semgap.plumbing.provenance import Machine, Provenance
from semgap.plumbing.tcp_sockets import SocketPair
from semgap.plumbing.versions import Versions
from semgap.policy import TensorClass

SECOND_NS = 1_000_000_000
CLIENT = SocketPair("127.0.0.1", 1000, "127.0.0.1", 2000)
WORKER = SocketPair("127.0.0.1", 2000, "127.0.0.1", 1000)
PROMPT = Prompt(tuple(range(8)), seed=0)
PROVENANCE = Provenance("0123456789abcdef", False, "c", {}, 0.5, "", "tsc")
PROBE = SocketPair("127.0.0.1", 3000, "127.0.0.1", 4000)


def step(up=100, down=50, encoded=None):
    return StepRecord(
        latency_s=0.5,
        placement_s=0.0,
        serialise_s=0.0,
        send_s=0.1,
        host_to_device_s=0.0,
        queue_s=0.0,
        worker_s=0.3,
        compute_s=0.2,
        device_to_host_s=0.0,
        receive_s=0.1,
        up_bytes={TensorClass.TOKENS: up},
        down_bytes={TensorClass.LOGITS: down},
        up_tensors=1,
        down_tensors=1,
        encoded=encoded,
    )


def phase(name, begin_s, latency_s=None, steps=1, **more):
    """A phase whose steps fill it, in a window that is 0.04 s longer."""
    steps = tuple(step() for _ in range(steps)) if isinstance(steps, int) else steps
    latency_s = 0.5 * len(steps) if latency_s is None else latency_s
    window_ns = int((latency_s + 0.04) * SECOND_NS)
    values = {
        "name": name,
        "begin_unix_ns": begin_s * SECOND_NS,
        "end_unix_ns": begin_s * SECOND_NS + window_ns,
        "begin_ns": begin_s * SECOND_NS,
        "end_ns": begin_s * SECOND_NS + window_ns,
        "latency_s": latency_s,
        "worker_cpu_s": 0.75 * latency_s,
        "steps": steps,
        "readings": {
            "client_cpu": {"client_cpu_busy_s": 0.5 * latency_s},
            "machine_cpu": {"machine_cpu_s": 0.75 * latency_s, "machine_window_s": latency_s},
        },
    }
    return PhaseRecord(**{**values, **more})


def settings(repeat=1):
    return BenchmarkSettings(
        experiment="test",
        repeat=repeat,
        workload=WorkloadSettings(decode_steps=2),
        worker=WorkerSettings(compute_threads=2),
        capture=CaptureSettings(),
    )


def begin_of(mode, repeat):
    """When a run began: one at a time, in rounds."""
    modes = [policy.mode for policy in POLICIES]
    return 100 * (20 * repeat + modes.index(mode))


def run(mode="semantic", repeat=1, **more):
    begin_s = begin_of(mode, repeat)
    values = {
        "session_id": f"{mode}-{repeat}",
        "mode": mode,
        "settings": settings(repeat),
        "policy": policy_of(mode),
        "transport": "in_process" if mode == "local" else "torch_rpc",
        "compute_threads": 2,
        "started_unix_ns": begin_s * SECOND_NS,
        "model_fingerprint": "f",
        "prompt_tokens": 8,
        "prompt_sha256": prompt_digest(PROMPT),
        "machine": Machine("host", "6.0", "a processor", 2, 8_000_000_000, ""),
        "versions": Versions("3.11", "2.13", "5.23"),
        "provenance": PROVENANCE,
        "rehearsals": (Rehearsal({"prefill": 0.5, "decode": 1.0}),) * 2,
        "phases": (
            phase("setup", begin_s + 10),
            phase("prefill", begin_s + 14),
            phase("decode", begin_s + 16, steps=2),
        ),
        "token_ids": (1, 2, 3),
        "client_sockets": (CLIENT,),
        "worker_sockets": (WORKER,),
        "listening_ports": (2000,),
        "probes": (ProbeTraffic(PROBE, 1000),),
        "capture": CaptureStatus(True, "", "lo", 10, 0),
    }
    return RunRecord(**{**values, **more})
