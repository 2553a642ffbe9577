"""What surrounded a run: the machine before and after it, and what it took of the machine."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import psutil

from semgap.meters.machine import MachineState, read_machine_state
from semgap.meters.processors import foreign_load

_LOOK_AHEAD_S = 0.1


class RunConditions(msgspec.Struct, frozen=True):
    """The machine around one run.

    Attributes:
        load_before: share of all processors' time that was in use before the job began anything;
            None where the kernel counts none.
        own_cpu_s: processor time of client, worker and capture between the two states.
    """

    mode: str
    repeat: int
    load_before: float | None
    before: MachineState
    after: MachineState
    own_cpu_s: float


class Conditions:
    """Reads the machine's state twice, around what is measured."""

    def __init__(self, load_before: float | None) -> None:
        self._load_before = load_before
        self._gpu_uuid = ""
        self._pids: frozenset[int] = frozenset()
        self._before: MachineState | None = None
        self._cpu_before_s = 0.0

    @classmethod
    def look_ahead(cls) -> Conditions:
        """Note how busy the machine is while this process sleeps for a moment."""
        return cls(foreign_load(_LOOK_AHEAD_S))

    def begin(self, pids: Collection[int], gpu_uuid: str) -> None:
        """Take the state before.

        Args:
            pids: processes of this machine that the run consists of.
            gpu_uuid: as NVML prints it ("GPU-…"); empty where a CPU computes.
        """
        self._pids = frozenset(pids)
        self._gpu_uuid = gpu_uuid
        self._cpu_before_s = _cpu_s(self._pids)
        self._before = read_machine_state(gpu_uuid, self._pids)

    def end(self, mode: str, repeat: int) -> RunConditions:
        """Take the state after, while the processes still live."""
        assert self._before is not None
        after = read_machine_state(self._gpu_uuid, self._pids)
        own_cpu_s = _cpu_s(self._pids) - self._cpu_before_s
        return RunConditions(mode, repeat, self._load_before, self._before, after, own_cpu_s)


def _cpu_s(pids: Collection[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return float(sum(each.user + each.system for each in times))
