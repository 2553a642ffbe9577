"""What a benchmark job is told to do."""

from __future__ import annotations

import msgspec


class BenchmarkSettings(msgspec.Struct, frozen=True):
    """What one benchmark job does.

    Attributes:
        experiment: the experiment's name
        repeat: which repeat this is, counted from 1
        decode_steps: forwards of one token after the prefill
        warmup_decode_steps: decode steps before anything is timed
        logits_to_keep: last positions whose logits are returned; 0 returns all
        device: what the worker computes on (cpu, cuda, cuda:N)
        engine: how the worker runs the model: a module of semgap.engine
        compute_threads: threads the worker computes with; 0 means all cores
        capture_use: auto captures where this machine can, required fails where it cannot, off never
        interface: the captured network interface
        interface_address: an address of that interface, for traffic sent on purpose
    """

    experiment: str
    repeat: int
    decode_steps: int
    warmup_decode_steps: int
    logits_to_keep: int
    device: str
    engine: str
    compute_threads: int
    capture_use: str
    interface: str
    interface_address: str
