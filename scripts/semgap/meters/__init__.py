"""Instruments that are read around each phase, on the host that they measure."""

import abc
import contextlib
import enum
import importlib
import time
from collections.abc import Iterable, Iterator, Mapping

from semgap.plumbing.nvml import opened_gpu
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
    """Each timed phase, entered before its other meters and left after them, on the client, so that
    they do not count this meter's own work."""
    PASS = "pass"
    """Each forward pass of the worker, in phases that are run again and not timed, since the meter
    slows what it watches. The readings of a phase's passes add up."""
    BACK_TO_BACK = "back_to_back"
    """Each phase, run again and again until it has taken seconds and not timed, since the
    instrument is read too seldom to see a short run."""


class Meter(abc.ABC):
    """An instrument: entered before what it measures, left after it, then read.

    Args:
        gpu_uuid: the GPU that the worker computes on, as NVML prints it ("GPU-…"); empty where a
            CPU does.
    """

    host = Host.CLIENT
    span = Span.PHASE
    needs_gpu = False

    def __init__(self, gpu_uuid: str = "") -> None:
        self.gpu_uuid = gpu_uuid

    @abc.abstractmethod
    def __enter__(self) -> None:
        """Begin."""

    @abc.abstractmethod
    def __exit__(self, *_exception: object) -> None:
        """End."""

    @abc.abstractmethod
    def read(self, begin_ns: int, end_ns: int) -> Readings:
        """Numbers by name, for a window of the monotonic clock of the meter's host.

        A name ends in the number's unit and becomes a row of repeats.csv and summary.csv. One that
        ends in ``_busy_s`` says how long something was busy; it is shown as a percentage of the
        phase's latency too. A number that was not measured is left out.
        """


class Growth(Meter):
    """By how much a number grows while the meter is entered."""

    quantity: str  # its name

    @abc.abstractmethod
    def now(self) -> float | None:
        """The number; None where it is not known."""

    def __enter__(self) -> None:
        self._before = self.now()

    def __exit__(self, *_exception: object) -> None:
        self._after = self.now()

    def read(self, begin_ns: int, end_ns: int) -> Readings:
        if self._before is None or self._after is None:
            return {}
        return {self.quantity: self._after - self._before}


class NvmlMeter(Meter):
    """A meter of the worker's GPU that NVML is open for as long as it is entered."""

    host = Host.WORKER
    needs_gpu = True

    def look(self) -> None:
        """Take a reading; called as the meter is entered and as it is left."""

    def __enter__(self) -> None:
        with contextlib.ExitStack() as stack:
            self.gpu = stack.enter_context(opened_gpu(self.gpu_uuid))
            self.look()
            self._opened = stack.pop_all()

    def __exit__(self, *_exception: object) -> None:
        with self._opened:
            self.look()


def load_meter(name: str) -> type[Meter]:
    """Import the meter of that name, and no other: its module's ``METER``."""
    meter: type[Meter] = importlib.import_module(f"semgap.meters.{name}").METER
    return meter


def meters_of(host: Host, span: Span, has_gpu: bool) -> tuple[str, ...]:
    """Names of a host's meters for a span, without GPU meters where no GPU computes."""
    return tuple(
        name
        for name in names_in("meters")
        for meter in (load_meter(name),)
        if (host, span) == (meter.host, meter.span) and (has_gpu or not meter.needs_gpu)
    )


class RunningMeters:
    """Meters that were entered; ``stop`` leaves and reads them.

    Args:
        names: modules of ``semgap.meters``.
        gpu_uuid: see ``Meter``.
    """

    def __init__(self, names: Iterable[str], gpu_uuid: str) -> None:
        self._meters = {name: load_meter(name)(gpu_uuid) for name in names}
        with contextlib.ExitStack() as entered:
            for meter in self._meters.values():
                entered.enter_context(meter)
            self._entered = entered.pop_all()
        self._begin_ns = time.monotonic_ns()

    def stop(self) -> dict[str, dict[str, float]]:
        """Leave all meters; returns the readings by the meter's name."""
        end_ns = time.monotonic_ns()
        self._entered.close()
        return {
            name: dict(meter.read(self._begin_ns, end_ns)) for name, meter in self._meters.items()
        }


class PhaseMeters:
    """The meters of one phase, also those around each of its forward passes."""

    def __init__(
        self, around_phase: Iterable[str], around_passes: Iterable[str], gpu_uuid: str
    ) -> None:
        self._pass_names = tuple(around_passes)
        self._gpu_uuid = gpu_uuid
        self._sums: dict[str, dict[str, float]] = {name: {} for name in self._pass_names}
        self._around_pass: RunningMeters | None = None
        self._around_phase = RunningMeters(around_phase, gpu_uuid)

    def begin_pass(self) -> None:
        """Enter the meters of a pass, unless it has begun."""
        if self._pass_names and self._around_pass is None:
            self._around_pass = RunningMeters(self._pass_names, self._gpu_uuid)

    def end_pass(self) -> None:
        """Leave the meters of a pass, if one has begun."""
        meters, self._around_pass = self._around_pass, None
        for name, readings in (meters.stop() if meters else {}).items():
            sums = self._sums[name]
            sums.update({key: sums.get(key, 0.0) + value for key, value in readings.items()})

    @contextlib.contextmanager
    def around_pass(self) -> Iterator[None]:
        """A pass that is the length of the block."""
        self.begin_pass()
        yield
        self.end_pass()

    def stop(self) -> dict[str, dict[str, float]]:
        """Leave all meters; returns the readings, those of the passes added up."""
        self.end_pass()
        # No pass that comes is of this phase.
        self._pass_names = ()
        return {**self._around_phase.stop(), **self._sums}
