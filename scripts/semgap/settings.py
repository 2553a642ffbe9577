"""What a rule tells its script: one frozen record a script, and its form on a command line."""

from __future__ import annotations

import argparse
import re
import shlex
from dataclasses import dataclass, fields
from typing import Any, TypeVar, get_type_hints

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class BenchmarkSettings:
    """What one benchmark job does.

    Attributes:
        experiment: the experiment's name
        repeat: which repeat this is, counted from 1
        decode_steps: forwards of one token after the prefill
        warmup_decode_steps: decode steps before anything is timed
        logits_to_keep: last positions whose logits are returned; 0 returns all
        device: what the worker computes on (cpu, cuda, cuda:N)
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
    compute_threads: int
    capture_use: str
    interface: str
    interface_address: str


@dataclass(frozen=True)
class ExperimentSettings:
    """What all runs of an experiment must have been measured with.

    Attributes:
        experiment: the experiment's name
        decode_steps: forwards of one token after the prefill
        warmup_decode_steps: decode steps before anything is timed
        logits_to_keep: last positions whose logits are returned; 0 returns all
        device: what the worker computes on (cpu, cuda, cuda:N)
        transport: how tensors travel
        interface: the captured network interface
    """

    experiment: str
    decode_steps: int
    warmup_decode_steps: int
    logits_to_keep: int
    device: str
    transport: str
    interface: str


@dataclass(frozen=True)
class ServerSettings:
    """How the experiment's server is run and found.

    Attributes:
        host: address it listens on
        port: TCP port of its control channel
        transport: how tensors travel
        device: what its workers compute on (cpu, cuda, cuda:N)
        compute_threads: threads a worker computes with; 0 means all cores
        idle_timeout_s: ends when no session was open for so long
        start_timeout_s: longest wait for it to get ready
        step_timeout_s: longest wait for one reply
        external: true if somebody else starts and stops it
        secret_file: file with the secret that both sides prove to know
    """

    host: str
    port: int
    transport: str
    device: str
    compute_threads: int
    idle_timeout_s: float
    start_timeout_s: float
    step_timeout_s: float
    external: bool
    secret_file: str


@dataclass(frozen=True)
class LinkSettings:
    """How the link between client and worker is measured.

    Attributes:
        host: address of this machine that all contenders use
        interface: the network interface behind that address
        device: where the transports deliver what they move (cpu, cuda, cuda:N)
        max_message_bytes: the largest message
        rounds: how often each contender sends each size
        round_trips: exchanges of one number for 200 KB by each contender
    """

    host: str
    interface: str
    device: str
    max_message_bytes: int
    rounds: int
    round_trips: int


@dataclass(frozen=True)
class ModelSettings:
    """Which model the experiment runs.

    Attributes:
        name: the model's name in the table
        weights_from: where its weights come from (hub, local, seeded)
        origin: the source of the weights, as the table says it
        seed: makes the weights where they are seeded
        dtype: dtype of weights, KV cache and logits
    """

    name: str
    weights_from: str
    origin: str
    seed: int
    dtype: str


def add_flags(parser: argparse.ArgumentParser, settings_type: type[Settings]) -> None:
    """Give a parser one required flag for each field, with the field's type and description."""
    described = dict(re.findall(r"^ {8}(\w+): (.+)$", settings_type.__doc__ or "", re.MULTILINE))
    types = get_type_hints(settings_type)
    for field in fields(settings_type):  # type: ignore[arg-type]
        parser.add_argument(
            _flag(field.name),
            required=True,
            type=_boolean if types[field.name] is bool else types[field.name],
            help=described[field.name],
        )


def from_flags(arguments: argparse.Namespace, settings_type: type[Settings]) -> Settings:
    """Rebuild the record from parsed flags."""
    names = [field.name for field in fields(settings_type)]  # type: ignore[arg-type]
    return settings_type(**{name: getattr(arguments, name) for name in names})


def to_flags(settings: Any) -> str:
    """Render a record as the flags that ``add_flags`` reads, quoted for a shell."""
    return shlex.join(
        part
        for field in fields(settings)
        for part in (_flag(field.name), str(getattr(settings, field.name)))
    )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _boolean(text: str) -> bool:
    return {"True": True, "true": True, "False": False, "false": False}[text]
