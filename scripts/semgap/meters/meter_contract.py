"""Instruments that are read around each phase, on the host that they measure."""

import enum
import importlib
from collections.abc import Mapping
from typing import Protocol

from semgap.plumbing.registry import names_in

Readings = Mapping[str, float]


class Host(enum.StrEnum):
    """The process that reads a meter."""

    CLIENT = "client"
    WORKER = "worker"


class Span(enum.StrEnum):
    """The interval that a meter measures."""

    PHASE = "phase"
    """Each phase, while it is timed."""
    BESIDE = "beside"
    """Each timed phase, entered before its other meters and left after them, on the client: what
    its own work must not be counted by."""
    PASS = "pass"
    """Each forward pass of the worker, in phases that are run again and not timed, since the meter
    slows what it watches. The readings of a phase's passes add up."""
    BACK_TO_BACK = "back_to_back"
    """Each phase, run again and again for seconds and not timed, since the instrument is read too
    seldom to see one run."""


class Meter(Protocol):
    """An instrument: entered before what it measures, left after it, then read."""

    def __enter__(self) -> object: ...

    def __exit__(self, *_exception: object) -> None: ...

    def read(self, begin_ns: int, end_ns: int) -> Readings:
        """Numbers by name, for a window of the monotonic clock of the meter's host.

        A name ends in the number's unit and becomes a row of repeats.csv and summary.csv. One that
        ends in ``_busy_s`` says how long something was busy; it is shown as a percentage of the
        phase's latency too. A number that was not measured is left out.
        """
        ...


class MeterModule(Protocol):
    """What a module in this folder defines to be a meter."""

    HOST: Host
    SPAN: Span
    NEEDS_GPU: bool

    def open_meter(self, gpu_uuid: str) -> Meter:
        """Make a meter.

        Args:
            gpu_uuid: the GPU that the worker computes on, as NVML prints it ("GPU-…"); empty where
                a CPU does.
        """
        ...


def load_meter(name: str) -> MeterModule:
    """Import the meter of that name, and no other."""
    module: MeterModule = importlib.import_module(f"semgap.meters.{name}")
    return module


def meters_of(host: Host, span: Span, has_gpu: bool) -> tuple[str, ...]:
    """Names of a host's meters for a span, without GPU meters where no GPU computes."""
    return tuple(
        name
        for name in names_in("meters")
        for meter in (load_meter(name),)
        if (host, span) == (meter.HOST, meter.SPAN) and (has_gpu or not meter.NEEDS_GPU)
    )
