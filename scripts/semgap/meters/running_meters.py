"""Entering, leaving and reading several meters at once."""

import contextlib
import time
from collections.abc import Iterable, Iterator

from semgap.meters.meter_contract import load_meter


class RunningMeters:
    """Meters that were entered; ``stop`` leaves and reads them.

    Args:
        names: modules of ``semgap.meters``.
        gpu_uuid: see ``MeterModule.open_meter``.
    """

    def __init__(self, names: Iterable[str], gpu_uuid: str) -> None:
        self._meters = {name: load_meter(name).open_meter(gpu_uuid) for name in names}
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
        self._around_phase = RunningMeters(around_phase, gpu_uuid)

    @contextlib.contextmanager
    def around_pass(self) -> Iterator[None]:
        """Enter the meters of a pass for the length of the block."""
        if not self._pass_names:
            yield
            return
        meters = RunningMeters(self._pass_names, self._gpu_uuid)
        yield
        for name, readings in meters.stop().items():
            sums = self._sums[name]
            sums.update({key: sums.get(key, 0.0) + value for key, value in readings.items()})

    def stop(self) -> dict[str, dict[str, float]]:
        """Leave all meters; returns the readings, those of the passes added up."""
        return {**self._around_phase.stop(), **self._sums}
