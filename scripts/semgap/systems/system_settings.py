"""Somebody else's system: an entry of the configuration's section ``systems``."""

from typing import Annotated

import msgspec
from msgspec import Meta

from semgap.measurement.job_settings import BenchmarkSettings
from semgap.policy import Label, Policy, WorkerPlace

_Command = Annotated[tuple[str, ...], Meta(min_length=1)]


class SystemProgram(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A program that runs the same model, measured from outside (docs/systems.md)."""

    command: Annotated[
        _Command,
        Meta(
            description="The program that answers requests, a line each, and its arguments; "
            "{model} is the folder of the weights."
        ),
    ]
    server: Annotated[
        _Command | None,
        Meta(
            description="The program on the other side of the network, if it has one; {host} and "
            "{port} are where it shall listen."
        ),
    ] = None
    reply_timeout_s: Annotated[
        float, Meta(gt=0, le=1_000_000, description="Longest wait for one reply (s).")
    ] = 600

    def as_policy(self, system_id: str) -> Policy:
        """The row of a policy table that it would be; where its tensors live is its own affair."""
        place = WorkerPlace.SERVER if self.server else WorkerPlace.IN_PROCESS
        return Policy(
            system_id,
            Label(system_id),
            place,
            weights="external",
            kv_cache="external",
            tokens="external",
            logits="external",
            executor="line_protocol",
        )


class SystemSettings(SystemProgram, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A program, and how what was measured of it is named and judged."""

    label: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200)],
        Meta(description="Its name in peers.md."),
    ]
    baseline: Annotated[
        str | None,
        Meta(
            description="The system that is this one without a network; `local` if there is none."
        ),
    ] = None
    logit_tolerance: Annotated[
        float,
        Meta(ge=0, description="Largest accepted absolute difference of a logit from `local`'s."),
    ] = 0.0

    @property
    def program(self) -> SystemProgram:
        """What is measured: another name or tolerance measures nothing again."""
        return SystemProgram(
            command=self.command, server=self.server, reply_timeout_s=self.reply_timeout_s
        )


class SystemJob(msgspec.Struct, frozen=True):
    """What one job is told to measure."""

    system_id: str
    system: SystemProgram
    benchmark: BenchmarkSettings


class NamedSystems(msgspec.Struct, frozen=True):
    """All of a configuration's systems, by the name for their files."""

    systems: dict[str, SystemSettings]
