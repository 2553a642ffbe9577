"""Run records for tests of the analysis, with numbers that are easy to follow."""

from __future__ import annotations

from semgap.modes import policy_of
from semgap.policy import TensorClass
from semgap.records import (
    CaptureStatus,
    ControlTraffic,
    Host,
    PhaseRecord,
    RunRecord,
    SocketPair,
    StepRecord,
    Versions,
)

SECOND_NS = 1_000_000_000
CLIENT = SocketPair("127.0.0.1", 1000, "127.0.0.1", 2000)
WORKER = SocketPair("127.0.0.1", 2000, "127.0.0.1", 1000)
CONTROL = SocketPair("127.0.0.1", 3000, "127.0.0.1", 4000)


def step(up=100, down=50):
    return StepRecord(
        latency_s=0.5,
        serialise_s=0.0,
        send_s=0.1,
        queue_s=0.0,
        worker_s=0.3,
        compute_s=0.2,
        receive_s=0.1,
        up_bytes={TensorClass.TOKENS: up},
        down_bytes={TensorClass.LOGITS: down},
    )


def phase(name, begin_s, latency_s=0.5, steps=1, **more):
    return PhaseRecord(
        name=name,
        begin_unix_ns=begin_s * SECOND_NS,
        end_unix_ns=(begin_s + 1) * SECOND_NS,
        latency_s=latency_s,
        worker_cpu_s=0.75 * latency_s,
        steps=tuple(step() for _ in range(steps)),
        **more,
    )


def run(mode="semantic", repeat=1, **more):
    values = {
        "experiment": "test",
        "mode": mode,
        "repeat": repeat,
        "policy": policy_of(mode),
        "transport": "in_process" if mode == "local" else "torch_rpc",
        "device": "cpu",
        "compute_threads": 2,
        "started_unix_ns": repeat * SECOND_NS,
        "model_fingerprint": "f",
        "prompt_tokens": 8,
        "logits_to_keep": 1,
        "host": Host("host", "6.0", "a processor", 2, 8_000_000_000, ""),
        "versions": Versions("3.11", "2.13", "5.23"),
        "phases": (
            phase("setup", 10),
            phase("warmup", 12),
            phase("prefill", 14),
            phase("decode", 16, steps=2),
        ),
        "token_ids": (1, 2, 3),
        "client_sockets": (CLIENT,),
        "worker_sockets": (WORKER,),
        "control": (ControlTraffic(CONTROL, 1000),),
        "capture": CaptureStatus(True, "", "lo", 10, 0),
    }
    return RunRecord(**{**values, **more})
