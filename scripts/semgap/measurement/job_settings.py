"""What a benchmark job is told to do: the configuration's sections ``workload`` and ``capture``."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from semgap.inference.worker_settings import WorkerSettings


class WorkloadSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is run in every mode."""

    decode_steps: Annotated[int, Meta(ge=1, description="Steps of one token after prefill.")] = 5
    rehearsals_at_most: Annotated[
        int,
        Meta(
            ge=1,
            description="Warm-up: prefill and decode are rehearsed until two rehearsals in a row "
            "agree or one takes 5 s, in which its decode ends; but not more often than this.",
        ),
    ] = 4
    rehearsals_agree_ratio: Annotated[
        float,
        Meta(
            ge=1,
            description="Two rehearsals agree if no phase took more than this times as long in one "
            "as in the other.",
        ),
    ] = 1.1
    back_to_back_s: Annotated[
        float,
        Meta(
            ge=0,
            description="On a GPU, after the timed phases: how long each phase is run again and "
            "again, at least once, while dmon, NVML's samples and its energy counter are read. "
            "Where each takes 2.2 s by itself, it is run once, and its kernels are traced in the "
            "same run. 0 leaves it out.",
        ),
    ] = 3.0
    logits_to_keep: Annotated[
        int,
        Meta(
            ge=0,
            description="Last positions whose logits cross, the same in every mode; 0 means all.",
        ),
    ] = 1


class StoppingRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Repeats are added until each mode's latency ÷ ``local``'s is known well enough."""

    within_percent: Annotated[float, Meta(gt=0)]  # reach of the ratio's 95 % interval
    at_most: Annotated[int, Meta(ge=3)]  # repeats per mode


class CaptureSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How bytes on the wire are counted."""

    use: Annotated[
        Literal["auto", "required", "off"],
        Meta(
            description="auto captures with tcpdump where this machine allows it and counts in the "
            "transport otherwise; required fails where it cannot capture; off counts in the "
            "transport."
        ),
    ] = "auto"
    interface: Annotated[
        str,
        Meta(
            min_length=1,
            description="The captured network interface: lo, or any where the server is behind "
            "another one (docs/links.md).",
        ),
    ] = "lo"
    interface_address: Annotated[
        str,
        Meta(
            description="An address of this machine; about 1 MB is sent from it to itself as a "
            "control."
        ),
    ] = "127.0.0.1"


class BenchmarkSettings(msgspec.Struct, frozen=True):
    """What one benchmark job does."""

    experiment: str  # the experiment's name
    repeat: int  # which repeat this is, counted from 1
    workload: WorkloadSettings
    worker: WorkerSettings
    capture: CaptureSettings
